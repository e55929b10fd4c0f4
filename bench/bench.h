/*
 * bench.h - what the benchmark programs share: clock and memory samples, paired runs, JSON lines,
 * scratch folders, fresh child processes, seeded data sets as Arrow columns, and the SQLite peer.
 *
 * The programs use the public API of libshardyfusion only. Any failure ends the program: a run
 * whose check fails has no time.
 */
#ifndef SHARDYFUSION_BENCH_H
#define SHARDYFUSION_BENCH_H

#include <shardyfusion/shardyfusion.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

#define BENCH_PATH_MAX   512u
#define BENCH_REPS_MAX   16
#define BENCH_REPS_LONG  3
#define BENCH_REPS_SHORT 5
#define BENCH_SHARDS     8u

/* ---- process ------------------------------------------------------------------------------ */

/** Remember the case filters of the command line; every argument is a piece of an id. */
void bench_start(int argc, char **argv);

/** Whether a case is wanted: no filter was given, or one of them is a piece of `id`. */
bool bench_wanted(const char *id);

/** Whether QUICK=1 asks for the small data. */
bool bench_quick(void);

/** `full`, or `quick` when QUICK=1. */
uint64_t bench_size(uint64_t full, uint64_t quick);

/** Print a message and end the program with status 1. */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** End the program when a library call failed, naming it. */
void bench_ok(shardy_status status, const shardy_error *err, const char *what);

/** Progress for the person who waits, on stderr. */
void bench_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** calloc that ends the program when memory is short. */
void *bench_alloc(size_t count, size_t size);

/* ---- samples and pairs -------------------------------------------------------------------- */

/** One timed stretch. */
struct bench_sample {
    double seconds;
    double rss_mb; /* peak resident memory of the process in MiB (VmHWM) during the stretch */
    double begun;
};

/** Monotonic seconds. */
double bench_now(void);

/** Start a stretch: gives free memory back, resets the peak, reads the clock. */
void bench_begin(struct bench_sample *sample);

/** End a stretch. */
void bench_end(struct bench_sample *sample);

/** One side of a comparison: prepares, times with bench_begin and bench_end, verifies. */
typedef void (*bench_side)(void *arg, struct bench_sample *sample);

/** Outcome of a comparison: medians, never a best-of. */
struct bench_pair {
    double ours_s;
    double peer_s;
    double speedup; /* median of the pairs' peer seconds / our seconds */
    double rss_mb;  /* largest peak of our runs */
    double speedups[BENCH_REPS_MAX];
    int reps;
};

/** Run both sides `reps` times each, alternating A B B A. */
void bench_compare(bench_side ours, bench_side peer, void *arg, int reps, struct bench_pair *out);

/** Median; sorts `values`. */
double bench_median(double *values, int count);

/* ---- output ------------------------------------------------------------------------------- */

/** One line of build/bench.jsonl. */
struct bench_line {
    const char *id;
    uint64_t rows;
    double ours;
    double peer;
    const char *peer_name;
    const char *unit;
    double ratio; /* above 1: we are better */
    double rss_mb;
    double goal;       /* smallest ratio that meets the goal */
    const char *extra; /* further members, "\"name\":value,..."; NULL = none */
};

/** Print a line on stdout, in the field order of the issue. */
void bench_emit(const struct bench_line *line);

/** Line of a comparison: its ratio is the pair's, whose single ratios are added as "runs". */
void bench_emit_pair(const struct bench_line *line, const struct bench_pair *pair);

/** Line of a comparison in rows per second, as bench_emit_pair(). */
void bench_emit_rate(const char *id, uint64_t rows, const struct bench_pair *pair,
                     const char *peer_name, double goal, const char *extra);

/** Line of a comparison in nanoseconds per key, as bench_emit_pair(). */
void bench_emit_ns(const char *id, uint64_t rows, uint64_t keys, const struct bench_pair *pair,
                   const char *peer_name, double goal, const char *extra);

/* ---- scratch folders and child processes ---------------------------------------------------- */

/** New folder on tmpfs (BENCH_TMPFS, /dev/shm when it has `need` free bytes, TMPDIR). */
void bench_dir_memory(char path[BENCH_PATH_MAX], uint64_t need);

/** New folder on a real disk (BENCH_DISK, else the current folder). */
void bench_dir_disk(char path[BENCH_PATH_MAX]);

/** `base`/`name` into `path`, as a new empty folder; an old one is removed. */
void bench_dir_sub(char path[BENCH_PATH_MAX], const char *base, const char *name);

/** Remove a folder and all it holds. */
void bench_dir_remove(const char *path);

/** `dir`/`name` into `path`, nothing created. */
void bench_path(char path[BENCH_PATH_MAX], const char *dir, const char *name);

/** file:// URL of an absolute path. */
void bench_url(char url[BENCH_PATH_MAX], const char *path);

/**
 * Run this program again in a fresh process (fork and exec) with `args` (NULL-terminated, without
 * the program name) and read `count` numbers from its stdout.
 */
void bench_child(const char *const *args, double *numbers, int count);

/* ---- data --------------------------------------------------------------------------------- */

/** Rows in columns. Integer keys when `keys` is set, text keys otherwise. */
struct bench_table {
    int64_t rows;
    uint64_t *keys;       /* unique, shuffled, below 2^63 */
    int32_t *key_offsets; /* text keys: Arrow utf8 column */
    char *key_data;
    int32_t *offsets; /* values: one Arrow binary column */
    char *values;
    uint64_t digest; /* sum of bench_row_digest() over all rows */
    uint64_t bytes;  /* keys and values */
};

/** Bijection of 0 .. 2^63-1: turns row numbers into shuffled unique keys. */
uint64_t bench_mix63(uint64_t number);

/** Next number of a seeded stream (splitmix64). */
uint64_t bench_random(uint64_t *state);

/** Digest of one row; rows are summed, so order does not matter. */
uint64_t bench_row_digest(const void *key, size_t key_size, const void *value, size_t value_size);

/** XXH3-64 of an integer key's canonical bytes. */
uint64_t bench_hash_u64(uint64_t key);

/** XXH3-64 of bytes. */
uint64_t bench_hash_bytes(const void *data, size_t size);

/** Fill a table with integer keys and `value_size` byte values. */
void bench_table_ints(struct bench_table *table, int64_t rows, size_t value_size, uint64_t seed);

/** Fill a table with text keys of 8 to 40 bytes and `value_size` byte values. */
void bench_table_texts(struct bench_table *table, int64_t rows, size_t value_size, uint64_t seed);

/** Release a table. */
void bench_table_clear(struct bench_table *table);

/** Stored bytes of a row's key; integer keys are written to `buffer`, big-endian. */
const void *bench_table_key(const struct bench_table *table, int64_t row, uint8_t buffer[8],
                            size_t *size);

/** Value of a row. */
const void *bench_table_value(const struct bench_table *table, int64_t row, size_t *size);

/** The whole table as one Arrow record batch ("key", "value") that borrows its columns. */
void bench_table_batch(const struct bench_table *table, struct ArrowSchema *schema,
                       struct ArrowArray *array);

/** Key column alone; as bench_table_batch(). */
void bench_table_key_column(const struct bench_table *table, struct ArrowSchema *schema,
                            struct ArrowArray *array);

/** The routing of a table, made with a bare XXH3: what the peers get for nothing. */
struct bench_order {
    uint8_t *shards; /* shard of every row */
    int64_t *rows;   /* row numbers shard by shard: shard s has first[s] .. first[s + 1] - 1 */
    int64_t first[BENCH_SHARDS + 1u];
};

/** Route all rows of a table: in input order, or (integer keys only) sorted by key per shard. */
void bench_order_fill(struct bench_order *order, const struct bench_table *table, bool sorted);

/** Release an order. */
void bench_order_clear(struct bench_order *order);

/* ---- snapshots and the SQLite peer ------------------------------------------------------------
 */

/** Options of a build that bench_snapshot_build() does not fix. */
struct bench_build {
    const char *dir; /* folder to publish to */
    uint32_t threads;
    uint32_t page_size; /* 0 = default */
};

/** Build and publish a table in BENCH_SHARDS shards; `sample` may be NULL. @return bytes written */
uint64_t bench_snapshot_build(const struct bench_table *table, const struct bench_build *build,
                              struct bench_sample *sample);

/** Open a reader on a folder. */
shardy_reader *bench_snapshot_open(const char *dir);

/** Paths of the shard files of a snapshot; an empty shard is an empty string. @return their number
 */
uint32_t bench_snapshot_files(const char *dir, char (**paths)[BENCH_PATH_MAX]);

/** Read every row of a snapshot with SQLite; check count, digest, and one shard's integrity. */
void bench_snapshot_check(const char *dir, uint64_t rows, uint64_t digest);

/** Rows and digest of one kv file, added to `*rows` and `*digest`; `deep` = integrity_check. */
void bench_sqlite_check(const char *path, bool deep, uint64_t *rows, uint64_t *digest);

/** Open a file immutable, mapped, inside a read transaction: the fastest SQLite reads it. */
sqlite3 *bench_sqlite_open(const char *path);

/** Run SQL; ends the program on failure. */
void bench_sqlite_exec(sqlite3 *db, const char *sql);

/** Prepare a statement; ends the program on failure. */
sqlite3_stmt *bench_sqlite_prepare(sqlite3 *db, const char *sql);

/**
 * Write one kv file per shard below `dir` through prepared inserts, one transaction a file, shard
 * after shard in the order given.
 */
void bench_sqlite_build(const char *dir, const struct bench_table *table,
                        const struct bench_order *order);

/** The same in the order of the input: all files open at once, `shards[row]` takes the row. */
void bench_sqlite_build_streaming(const char *dir, const struct bench_table *table,
                                  const uint8_t *shards);

#endif
