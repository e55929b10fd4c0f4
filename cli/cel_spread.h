/*
 * cel_spread.h - how many rows each shard, or each routing value, would get.
 */
#ifndef SHARDY_CLI_CEL_SPREAD_H
#define SHARDY_CLI_CEL_SPREAD_H

#include "cli.h"

/* Values told apart; further ones are counted together. */
#define CEL_SPREAD_MAX 65536u

struct cel_spread_item {
    char *text;
    size_t size;
    int64_t order; /* shard; -1: none, a value */
    uint64_t rows;
};

struct cel_spread {
    struct cel_spread_item *items;
    size_t count;
    size_t capacity;
    uint32_t *table; /* item + 1 by hash; twice CEL_SPREAD_MAX entries */
    uint64_t rows;   /* all of them */
    uint64_t others; /* rows whose value found no room */
};

/* Count a row; `text` names its shard or value, equal texts are the same. */
void cel_spread_add(struct cel_spread *spread, const char *text, size_t size, int64_t order);
/* Shards first, then values. */
void cel_spread_sort(struct cel_spread *spread);
/* A line for each item with rows, share and a bar; values are marked when there are `shards`. */
void cel_spread_print(struct cli *cli, const struct cel_spread *spread, bool shards);
void cel_spread_clear(struct cel_spread *spread);

#endif
