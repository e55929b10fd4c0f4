/*
 * build_routing.h - routing by an expression, from the options of `build` and `cel`.
 */
#ifndef SHARDY_CLI_BUILD_ROUTING_H
#define SHARDY_CLI_BUILD_ROUTING_H

#include "columns.h"

/* Where the options are; none is NULL. */
struct build_routing_options {
    const struct option_value *expression;     /* --cel; not given: routing by hash */
    const struct option_value *columns;        /* --cel-column */
    const struct option_value *routing_values; /* --routing-value */
    const struct option_value *infer;          /* --infer-routing-values */
    const struct option_value *shards;         /* --shards */
    const struct option_value *max_keys;       /* --max-keys-per-shard */
};

struct build_routing {
    const shardy_cel_sharding *use; /* NULL = by hash */
    shardy_cel_sharding sharding;
    struct column_specs specs;
    struct column_spec *extra; /* declared columns that are not the key; names borrowed of specs */
    size_t extra_count;
    shardy_cel_value *values;
    struct buffer *texts; /* what `values` point into */
    size_t value_count;
};

/*
 * Check the options and compile the expression once, for its errors and the type of the routing
 * values. @param key_name column of the key; it and the name `key` are not extra columns
 * @return 0, or the exit code of a printed error
 */
int build_routing_init(struct cli *cli, const struct build_routing_options *options,
                       const char *key_name, struct build_routing *routing);
void build_routing_clear(struct build_routing *routing);

/*
 * Routing values typed as results of a compiled expression. @return 0, or the exit code of a
 * printed error
 */
int build_routing_values(struct cli *cli, const struct option_value *values, const shardy_cel *cel,
                         struct build_routing *routing);

#endif
