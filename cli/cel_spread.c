/*
 * cel_spread.c - the distribution of rows over shards, as counts and as a bar chart.
 */
#include "cel_spread.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "encoding.h"
#include "memory.h"

enum { TABLE_SIZE = 2 * CEL_SPREAD_MAX, BAR_WIDTH = 40, SHOWN_MAX = 64 };

/* FNV-1a; texts are short. */
static size_t hash_of(const char *text, size_t size)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
    }
    return (size_t)(hash ^ hash >> 32) & (TABLE_SIZE - 1);
}

void cel_spread_add(struct cel_spread *spread, const char *text, size_t size, int64_t order)
{
    size_t at = hash_of(text, size);

    if (spread->table == NULL) {
        spread->table = cli_zeroed(TABLE_SIZE, sizeof *spread->table);
    }
    spread->rows++;
    for (; spread->table[at] != 0; at = (at + 1) & (TABLE_SIZE - 1)) {
        struct cel_spread_item *item = &spread->items[spread->table[at] - 1];

        if (item->size == size && memcmp(item->text, text, size) == 0) {
            item->rows++;
            return;
        }
    }
    if (spread->count == CEL_SPREAD_MAX) {
        spread->others++;
        return;
    }
    if (spread->count == spread->capacity) {
        spread->capacity = spread->capacity != 0 ? spread->capacity * 2 : 64;
        spread->items = cli_resize_array(spread->items, spread->capacity, sizeof *spread->items);
    }
    spread->items[spread->count++] =
        (struct cel_spread_item){cli_copy_text(text, size), size, order, 1};
    spread->table[at] = (uint32_t)spread->count;
}

static int compare(const void *left, const void *right)
{
    const struct cel_spread_item *a = left;
    const struct cel_spread_item *b = right;
    size_t size = a->size < b->size ? a->size : b->size;
    int order;

    if (a->order != b->order) {
        return (uint64_t)a->order < (uint64_t)b->order ? -1 : 1; /* -1 is the last */
    }
    order = memcmp(a->text, b->text, size);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

void cel_spread_sort(struct cel_spread *spread)
{
    if (spread->count > 0) {
        qsort(spread->items, spread->count, sizeof *spread->items, compare);
    }
    cli_free(spread->table); /* its numbers are the old ones */
    spread->table = NULL;
}

static void print_line(struct cli *cli, const struct cel_spread *spread, size_t width,
                       const char *text, size_t size, uint64_t rows, uint64_t most)
{
    struct out *out = &cli->out;
    double share = spread->rows > 0 ? 100.0 * (double)rows / (double)spread->rows : 0;
    int bar = most > 0 ? (int)((double)BAR_WIDTH * (double)rows / (double)most + 0.5) : 0;
    char number[48];

    table_cell(out, CELL_LEFT, width, text, size);
    table_gap(out);
    (void)snprintf(number, sizeof number, "%" PRIu64, rows);
    table_cell(out, CELL_RIGHT, 10, number, strlen(number));
    (void)snprintf(number, sizeof number, "  %5.1f %%", share);
    out_text(out, number);
    out_format(out, "%s%.*s\n", bar > 0 ? "  " : "", bar,
               "########################################");
}

/* What stands in the first column. */
static size_t label_of(const struct cel_spread_item *item, bool shards, struct buffer *label)
{
    label->size = 0;
    buffer_add(label, item->text, item->size);
    if (shards && item->order < 0) {
        buffer_add_text(label, " (no shard)");
    }
    return utf8_length(label->data, label->size);
}

void cel_spread_print(struct cli *cli, const struct cel_spread *spread, bool shards)
{
    const char *title = shards ? "SHARD" : "VALUE";
    struct buffer label = {0};
    size_t shown = spread->count < SHOWN_MAX ? spread->count : SHOWN_MAX;
    size_t width = strlen(title);
    uint64_t most = 0;
    uint64_t rest = spread->others;

    for (size_t i = 0; i < spread->count; i++) {
        const struct cel_spread_item *item = &spread->items[i];
        size_t length = i < shown ? label_of(item, shards, &label) : 0;

        width = length > width ? length : width;
        most = item->rows > most ? item->rows : most;
        rest += i >= shown ? item->rows : 0;
    }
    table_cell(&cli->out, CELL_LEFT, width, title, strlen(title));
    table_gap(&cli->out);
    table_cell(&cli->out, CELL_RIGHT, 10, "ROWS", 4);
    out_text(&cli->out, "    SHARE\n");
    for (size_t i = 0; i < shown; i++) {
        (void)label_of(&spread->items[i], shards, &label);
        print_line(cli, spread, width, label.data, label.size, spread->items[i].rows, most);
    }
    buffer_clear(&label);
    if (rest > 0) {
        print_line(cli, spread, width, "others", 6, rest, 0);
    }
}

void cel_spread_clear(struct cel_spread *spread)
{
    for (size_t i = 0; i < spread->count; i++) {
        cli_free(spread->items[i].text);
    }
    cli_free(spread->items);
    cli_free(spread->table);
    *spread = (struct cel_spread){0};
}
