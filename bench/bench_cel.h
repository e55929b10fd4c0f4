/*
 * bench_cel.h - the cases of bench_cel: rows in Arrow columns, expressions, and the same rules
 * written by hand.
 */
#ifndef SHARDYFUSION_BENCH_CEL_H
#define SHARDYFUSION_BENCH_CEL_H

#include "bench.h"

#define CEL_VALUES    1000u /* routing values: tenants times tiers */
#define CEL_TENANTS   200u
#define CEL_TIERS     5u
#define CEL_REGIONS   20u /* in the expression's list; some rows have others */
#define CEL_PEER_ROWS 20000u

/** One column of text: Arrow utf8. */
struct cel_texts {
    int32_t *offsets;
    char *data;
};

/** The rows, in the order of their timestamps as events are. */
struct cel_data {
    int64_t rows;
    int64_t *key;
    int64_t *tier;
    int64_t *ts; /* microseconds, UTC */
    double *score;
    struct cel_texts region;
    struct cel_texts tenant;
    struct cel_texts user;
};

enum cel_case_id { CEL_INT_HASH, CEL_IN20, CEL_CATEGORICAL, CEL_CONCAT_HASH, CEL_TIMESTAMP };

struct cel_case {
    const char *id; /* "cel/int-hash" */
    enum cel_case_id number;
    const char *expression;
    const char *columns; /* "key:int,score:double" */
    uint32_t num_dbs;    /* 0: by routing values */
    double goal_c;
    double goal_cpp;
};

extern const struct cel_case cel_cases[5];
extern const char *const cel_regions[CEL_REGIONS];
extern char cel_values[CEL_VALUES][24]; /* routing values, once the data is made */

/** Make the rows, and the routing values. */
void cel_data_make(struct cel_data *data, int64_t rows);
void cel_data_clear(struct cel_data *data);

/** The rows as one record batch that borrows them. */
void cel_data_batch(const struct cel_data *data, struct ArrowSchema *schema,
                    struct ArrowArray *array);

/** Write the first rows as JSON lines for the Python peer. */
void cel_data_write(const struct cel_data *data, int64_t rows, const char *path);

/** Shards of all rows by the rule written in C. `cel_hand_prepare()` comes first, untimed. */
void cel_hand_prepare(void);
void cel_hand(enum cel_case_id number, const struct cel_data *data, uint32_t *ids);

#endif
