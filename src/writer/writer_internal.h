/*
 * writer_internal.h - what the parts of the writer share. Flow of a row:
 *
 *   writer_rows.c    batches are kept as they came; each row becomes a 16-byte reference in the
 * list of its shard (rows_add), at the memory limit all lists are sorted and spilled writer_sort.c
 * references of one shard in key order writer_stream.c  sorted references and spilled runs of a
 * shard merged into rows, last one wins writer_spill.c   the spill file: runs of records
 *   writer_build.c   a shard's stream goes through a builder; its manifest entry
 *   writer_ordered.c instead of the above when rows arrive by shard: one shard at a time
 *   writer_sorted.c  rows that also arrive in key order go straight into the page builder
 *   writer_workers.c threads that build complete shards while the next one arrives
 *   writer_cel.c     shards of rows by a CEL expression
 *   writer_shards.c  lists of shards while their number is not known
 *   writer_stage.c   rows held back while the number of shards is unknown (max_keys_per_shard)
 *   writer_publish.c manifest, result, last events
 *   writer.c         the public calls
 */
#ifndef SFI_WRITER_WRITER_INTERNAL_H
#define SFI_WRITER_WRITER_INTERNAL_H

#include "base/observe.h"
#include "key/key.h"
#include "manifest/manifest_store.h"
#include "routing/routing.h"
#include "shard/shard.h"

#include <shardyfusion/writer.h>

#include <pthread.h>

/*
 * A row waiting in memory: first 8 key bytes (all of an integer key) and where it is: batch number
 * in the upper bits of `at`; below it the row number or, in `located` batches, offset and size of
 * its value, which saves a cache miss per row when rows are visited in key order. `at` grows with
 * the order of arrival, so the largest one of equal keys is the last.
 */
struct sfi_row_ref {
    uint64_t prefix;
    uint64_t at;
};
#define SFI_REF_BATCH_SHIFT  44
#define SFI_REF_SIZE_BITS    13
#define SFI_REF_BATCHES_MAX  (1u << (64 - SFI_REF_BATCH_SHIFT))
#define SFI_REF_LOCATED_SIZE (1u << SFI_REF_SIZE_BITS)
#define SFI_REF_LOCATED_END  (UINT64_C(1) << (SFI_REF_BATCH_SHIFT - SFI_REF_SIZE_BITS))

/* Rows as they came, used in place. */
struct sfi_batch {
    struct ArrowArray array; /* released with the batch; or release == NULL and `own` is set */
    void *own;               /* block of copied rows */
    struct sfi_column key;
    struct sfi_column value;
    uint64_t first_row; /* number of row 0 over the whole build */
    uint64_t bytes;     /* what the batch holds in memory */
    uint32_t *ids;      /* shards of the rows when they are known already; NULL: by hash */
    bool located;       /* how references name its rows: integer keys, small values */
};

struct sfi_ref_list {
    struct sfi_row_ref *items;
    size_t count;
    size_t capacity;
};

/* A sorted run of one shard in the spill file. */
struct sfi_run {
    uint64_t offset;
    uint64_t size;
    uint64_t rows;
};

/* One spill: a run for every shard, in shard order. */
struct sfi_generation {
    struct sfi_run *runs; /* num_dbs */
};

struct sfi_spill_extent {
    uint64_t offset;
    uint64_t size;
};

/* Write buffers that may be on their way to the disk. */
#define SFI_SPILL_BEHIND 16u

struct sfi_spill_file {
    int fd; /* unlinked from the start: nothing remains after a crash; -1 = not open */
    uint64_t size;
    const char *dir; /* for messages */
    struct sfi_spill_extent behind[SFI_SPILL_BEHIND];
    unsigned behind_next;
    pthread_mutex_t lock; /* guards `size` and `behind` */
};

/* Rows waiting to be built. One thread at a time, apart from what the functions say. */
struct sfi_rows {
    shardy_key_encoding encoding;
    uint32_t num_dbs;
    unsigned threads;
    struct sfi_route route;
    uint64_t memory_limit;
    struct sfi_batch *batches;
    size_t batch_count;
    size_t batch_capacity;
    uint64_t batch_bytes;
    uint64_t ref_count;
    struct sfi_ref_list *lists;   /* threads x num_dbs: each thread fills its own row of lists */
    struct sfi_ref_list *sorted;  /* a shard's references in key order, one for each thread */
    struct sfi_ref_list *scratch; /* sort space, one for each thread */
    struct sfi_generation *generations;
    size_t generation_count;
    size_t generation_capacity;
    struct sfi_spill_file *spill;
};

shardy_status sfi_rows_init(struct sfi_rows *rows, shardy_key_encoding encoding, uint32_t num_dbs,
                            unsigned threads, uint64_t memory_limit, struct sfi_spill_file *spill,
                            shardy_error *err);
void sfi_rows_clear(struct sfi_rows *rows);
/* Memory of batches and references, and what sorting will take. */
uint64_t sfi_rows_memory(const struct sfi_rows *rows);
/* Check keys and lengths of a batch against the encoding, and whether they can be hashed if they
 * must be; nothing is kept. */
shardy_status sfi_rows_check(shardy_key_encoding encoding, bool hashed,
                             const struct sfi_batch *batch, shardy_error *err);
/* Route a checked batch and keep it (taken over, on failure too); may spill. */
shardy_status sfi_rows_add(struct sfi_rows *rows, struct sfi_batch *batch, shardy_error *err);
/* No more rows will come: when runs must be merged, make room for their read buffers. */
shardy_status sfi_rows_end(struct sfi_rows *rows, shardy_error *err);
/*
 * All references of a shard, sorted by key, then by `at`; borrowed until the worker sorts another
 * shard. Different shards may be sorted at the same time by different workers.
 */
shardy_status sfi_rows_sorted(struct sfi_rows *rows, uint32_t db_id, unsigned worker,
                              const struct sfi_row_ref **refs, size_t *count, shardy_error *err);
void sfi_batch_release(struct sfi_batch *batch);
/* At least `count` shards, before rows of new ones are added. NO_MEMORY. */
shardy_status sfi_rows_grow(struct sfi_rows *rows, uint32_t count, shardy_error *err);
/*
 * Exactly `count` shards; the i-th of them is order[i] of the present ones (NULL: i). NO_MEMORY:
 * the rows can only be cleared.
 */
shardy_status sfi_rows_renumber(struct sfi_rows *rows, const uint32_t *order, uint32_t count,
                                shardy_error *err);
/* Rows of a shard, duplicates included. */
uint64_t sfi_rows_of(const struct sfi_rows *rows, uint32_t db_id);
/* Key of a checked row for messages. */
void sfi_batch_key_text(const struct sfi_batch *batch, size_t row, shardy_key_encoding encoding,
                        char out[SFI_KEY_TEXT_SIZE]);
/* Integer key of a checked row. */
static inline uint64_t sfi_column_number(const struct sfi_column *column, size_t row)
{
    switch (column->kind) {
    case SFI_COLUMN_I32:
    case SFI_COLUMN_U32:
        return ((const uint32_t *)column->values)[row];
    default:
        return ((const uint64_t *)column->values)[row];
    }
}

static inline const struct sfi_batch *sfi_ref_batch(const struct sfi_rows *rows,
                                                    const struct sfi_row_ref *ref)
{
    return &rows->batches[ref->at >> SFI_REF_BATCH_SHIFT];
}

/* Row number; only of batches that are not located. */
static inline size_t sfi_ref_row(const struct sfi_row_ref *ref)
{
    return (size_t)(ref->at & ((UINT64_C(1) << SFI_REF_BATCH_SHIFT) - 1));
}

static inline struct sfi_bytes sfi_ref_value(const struct sfi_batch *batch,
                                             const struct sfi_row_ref *ref)
{
    if (!batch->located) {
        return sfi_column_bytes(&batch->value, sfi_ref_row(ref));
    }
    struct sfi_bytes value = {(const uint8_t *)batch->value.values +
                                  (sfi_ref_row(ref) >> SFI_REF_SIZE_BITS),
                              ref->at & (SFI_REF_LOCATED_SIZE - 1)};
    return value;
}

/*
 * Take the references of `count` lists, together `total`, into `out`, sorted by key, then by `at`.
 * Both lists grow as needed. NO_MEMORY.
 */
struct sfi_sort_source {
    const struct sfi_ref_list *lists;
    size_t count;
    size_t stride; /* between lists */
    size_t total;
};
shardy_status sfi_sort_refs(const struct sfi_rows *rows, const struct sfi_sort_source *source,
                            struct sfi_ref_list *out, struct sfi_ref_list *scratch,
                            shardy_error *err);
bool sfi_ref_list_reserve(struct sfi_ref_list *list, size_t count);

/* Spill file. */
shardy_status sfi_spill_open(struct sfi_spill_file *file, const char *dir, shardy_error *err);
void sfi_spill_close(struct sfi_spill_file *file);

/* Appends records through a buffer; offsets of concurrent writers interleave by whole buffers,
 * so a run is written with sfi_spill_reserve() first when it must be contiguous. */
struct sfi_spill_writer {
    struct sfi_spill_file *file;
    struct sfi_buf buf;
    uint64_t offset; /* where the buffer goes */
    bool fixed_keys; /* 8- or 4-byte keys: no length stored */
};

/* Most bytes a record takes besides key and value. */
#define SFI_SPILL_RECORD_OVERHEAD 10u
/* Claim `size` contiguous bytes. Any thread. */
uint64_t sfi_spill_reserve(struct sfi_spill_file *file, uint64_t size);
/* Give the disk space of a run back that is not needed any more, where the file system can. */
void sfi_spill_discard(const struct sfi_spill_file *file, const struct sfi_run *run);
shardy_status sfi_spill_put(struct sfi_spill_writer *writer, const struct sfi_row *row,
                            shardy_error *err);
shardy_status sfi_spill_flush(struct sfi_spill_writer *writer, shardy_error *err);

/* Reads a run back, record by record. */
struct sfi_run_reader {
    const struct sfi_spill_file *file;
    uint64_t offset; /* next bytes to read */
    uint64_t left;
    uint8_t *buf;
    size_t capacity;
    size_t begin;
    size_t end;
    uint32_t key_size; /* of fixed keys; 0 = stored */
};

shardy_status sfi_run_open(struct sfi_run_reader *reader, const struct sfi_spill_file *file,
                           const struct sfi_run *run, size_t buffer, uint32_t fixed_key_size,
                           shardy_error *err);
void sfi_run_close(struct sfi_run_reader *reader);
/* Whether the next record needs a read that moves the buffer: earlier rows die then. */
bool sfi_run_needs_read(const struct sfi_run_reader *reader);
shardy_status sfi_run_next(struct sfi_run_reader *reader, struct sfi_row *row, bool *found,
                           shardy_error *err);

/* Rows of one shard in key order, without duplicates. */
/* Few enough that fetching a block's values does not wait for a free line buffer. */
#define SFI_STREAM_BLOCK 8u
struct sfi_stream;
/* With `memory_only` the spilled runs are left out (used by the spill itself). */
shardy_status sfi_stream_open(struct sfi_rows *rows, uint32_t db_id, unsigned worker,
                              bool memory_only, struct sfi_stream **stream, shardy_error *err);
/* Up to SFI_STREAM_BLOCK rows, valid until the next call; *count = 0 at the end. */
shardy_status sfi_stream_next(struct sfi_stream *stream, const struct sfi_row **rows, size_t *count,
                              shardy_error *err);
/* Start again from the first row. */
shardy_status sfi_stream_rewind(struct sfi_stream *stream, shardy_error *err);
void sfi_stream_free(struct sfi_stream *stream); /* NULL is accepted */
/* Rows the stream starts from, duplicates included. */
uint64_t sfi_stream_input_rows(const struct sfi_stream *stream);

/* Result of building one shard. */
struct sfi_shard_result {
    shardy_shard_info info; /* owner set when the shard exists */
    bool committed;         /* database object exists */
    bool begun;             /* ordered input: rows have come; only the adding thread looks */
    uint64_t rows;
    uint64_t bytes;
};

/* Configuration after validation; strings owned. */
struct sfi_writer_config {
    char *url;
    char *run_id;
    char *key_column;   /* name in batches */
    char *value_column; /* name in batches */
    char *key_col;      /* name in the manifest */
    char *shard_prefix;
    char *db_template;
    char *current_name;
    char *custom_json; /* J1, sidecar field included */
    char *expected_ref;
    char *spill_dir;
    uint32_t num_dbs; /* 0 while unknown */
    uint64_t max_keys_per_shard;
    shardy_key_encoding encoding;
    uint32_t page_size; /* or SHARDY_PAGE_SIZE_AUTO */
    bool sidecar;
    bool no_publish;
    bool expect;
    uint64_t memory_limit;
    unsigned threads;
    shardy_input_order input_order;
};

/*
 * Routing by a CEL expression. `key_column` is borrowed: its name in batches. num_dbs 0: told by
 * the routing values, or by the rows.
 */
struct sfi_cel_writer;
shardy_status sfi_cel_writer_new(const shardy_cel_sharding *sharding, uint32_t num_dbs,
                                 const char *key_column, unsigned threads,
                                 struct sfi_cel_writer **cel, shardy_error *err);
void sfi_cel_writer_free(struct sfi_cel_writer *cel); /* NULL is accepted */
/* Number of shards; 0 while the rows tell it. */
uint32_t sfi_cel_writer_num_dbs(const struct sfi_cel_writer *cel);
/* Ids given so far are below. */
uint32_t sfi_cel_writer_shards(const struct sfi_cel_writer *cel);
/* Set batch->ids of a checked batch. INPUT, ASSIGNMENT naming the row; CONFIG; LIMIT. */
shardy_status sfi_cel_writer_batch(struct sfi_cel_writer *cel, const struct ArrowSchema *schema,
                                   const struct ArrowArray *array, struct sfi_batch *batch,
                                   shardy_error *err);
/* Route a row that is added by itself, number `row`; its id is kept. The same failures. */
shardy_status sfi_cel_writer_row(struct sfi_cel_writer *cel, const shardy_key *key,
                                 const shardy_context *context, uint64_t row, shardy_error *err);
/* Move the ids that were kept to the batch of those rows. */
void sfi_cel_writer_take(struct sfi_cel_writer *cel, struct sfi_batch *batch);
/* No more rows will come, and the rows tell the number of shards. ASSIGNMENT: ids have gaps. */
shardy_status sfi_cel_writer_end(struct sfi_cel_writer *cel, struct sfi_rows *rows,
                                 uint32_t *num_dbs, shardy_error *err);
/* The manifest's sharding object; sfi_free. */
shardy_status sfi_cel_writer_sharding(const struct sfi_cel_writer *cel, char **json,
                                      shardy_error *err);

/* `known`: the options as this library knows them, missing fields zero. */
shardy_status sfi_writer_config_init(struct sfi_writer_config *config, shardy_writer_options *known,
                                     const shardy_writer_options *options, shardy_error *err);
void sfi_writer_config_clear(struct sfi_writer_config *config);

struct shardy_writer {
    struct sfi_writer_config config;
    struct sfi_observer observer;
    struct sfi_store *store;
    struct sfi_spill_file spill;
    struct sfi_rows rows;
    bool rows_ready;             /* `rows` is initialised: num_dbs is known */
    struct sfi_cel_writer *cel;  /* NULL: hash sharding */
    char *sharding_json;         /* of CEL, once it is known */
    struct sfi_stage *stage;     /* instead of `rows` until then */
    struct sfi_ordered *ordered; /* instead of `rows` and `stage` when rows arrive by shard */
    struct sfi_arena *arena;     /* rows added one by one, not yet a batch */
    shardy_status broken;        /* sticky failure after which the build cannot go on */
    shardy_error broken_error;
    bool finished;
    atomic_bool cancelled;

    uint64_t rows_read;
    uint64_t input_bytes;
    uint64_t started_us;              /* monotonic */
    struct sfi_shard_result *results; /* num_dbs */

    /* Progress, written by the adding and by building threads. */
    atomic_uint_fast64_t seen_rows; /* rows_read and input_bytes as other threads may read them */
    atomic_uint_fast64_t seen_bytes;
    void (*progress)(void *arg, const shardy_progress *progress);
    void *progress_arg;
    atomic_flag progress_busy;
    atomic_uint_fast64_t progress_next_us;
    atomic_int phase;
    atomic_uint_fast64_t built_rows;
    atomic_uint_fast64_t built_bytes;
    atomic_uint shards_done;
};

/* Write the manifest and make it current by the rules of the options. */
shardy_status sfi_writer_publish(shardy_writer *writer, struct sfi_publish_result *published,
                                 shardy_error *err);
shardy_status sfi_writer_fill_result(shardy_writer *writer,
                                     const struct sfi_publish_result *published,
                                     shardy_build_result *result, shardy_error *err);
/* Events and log of a build that ended well. */
void sfi_writer_report(shardy_writer *writer, const struct sfi_publish_result *published);
/* Report progress when 100 ms have passed, or `force`. Any thread. */
void sfi_writer_progress(shardy_writer *writer, bool force);
shardy_status sfi_writer_check_cancelled(shardy_writer *writer, shardy_error *err);
uint64_t sfi_writer_elapsed_ms(const shardy_writer *writer);

/*
 * One shard on its way from rows to objects and to its entry in writer->results: init, begin,
 * create, add.., finish; after a failure failed; clear.
 */
struct sfi_shard_task {
    shardy_writer *writer;
    uint32_t db_id;
    struct sfi_shard_builder *builder;
    struct sfi_shard_built built;
    char *dir_key; /* attempt directory, relative */
    char *db_key;
    char *url;
    struct sfi_buf min_key;
    struct sfi_buf max_key;
    uint64_t started_us;
    uint64_t unreported; /* rows not yet in writer->built_rows */
};

void sfi_task_init(struct sfi_shard_task *task, shardy_writer *writer, uint32_t db_id);
/* Names and the event of a start. */
shardy_status sfi_task_begin(struct sfi_shard_task *task, shardy_error *err);
shardy_status sfi_task_create(struct sfi_shard_task *task, uint32_t page_size, shardy_error *err);
/* Rows with strictly ascending keys, at least one. */
shardy_status sfi_task_add(struct sfi_shard_task *task, const struct sfi_row *rows, size_t count,
                           shardy_error *err);
shardy_status sfi_task_finish(struct sfi_shard_task *task, shardy_error *err);
/* Name the shard in `err`, and log. */
void sfi_task_failed(struct sfi_shard_task *task, shardy_error *err);
void sfi_task_clear(struct sfi_shard_task *task);

/* Build shard `db_id` from list `list` of `rows`; a list without rows makes no shard. */
shardy_status sfi_writer_build_shard(shardy_writer *writer, struct sfi_rows *rows, uint32_t list,
                                     uint32_t db_id, unsigned worker, shardy_error *err);
/* Build every shard into writer->results. */
shardy_status sfi_writer_build_shards(shardy_writer *writer, shardy_error *err);
/* Remove the objects of all committed shards (failed build). */
void sfi_writer_remove_shards(shardy_writer *writer);

/* Rows added one by one: copied into a growing block that becomes a batch. */
struct sfi_arena;
shardy_status sfi_arena_new(bool int_keys, struct sfi_arena **arena, shardy_error *err);
void sfi_arena_free(struct sfi_arena *arena); /* NULL is accepted */
shardy_status sfi_arena_add(struct sfi_arena *arena, uint64_t number, struct sfi_bytes key,
                            struct sfi_bytes value, shardy_error *err);
uint64_t sfi_arena_rows(const struct sfi_arena *arena);
bool sfi_arena_full(const struct sfi_arena *arena);
/* Turn the rows into a batch and empty the arena. */
shardy_status sfi_arena_take(struct sfi_arena *arena, uint64_t first_row, struct sfi_batch *batch,
                             shardy_error *err);

/* A piece of work for the threads of a build. */
struct sfi_work {
    struct sfi_work *next; /* private to the workers */
    uint64_t memory;       /* what it holds until it is freed */
    shardy_status (*run)(struct sfi_work *work, shardy_error *err);
    void (*free)(struct sfi_work *work);
};

/* Threads beside the adding one, which alone calls these functions. */
struct sfi_workers;
shardy_status sfi_workers_new(unsigned threads, struct sfi_workers **workers, shardy_error *err);
/* Take the work over, on failure too; waits while all threads are busy. Failure of any work. */
shardy_status sfi_workers_give(struct sfi_workers *workers, struct sfi_work *work,
                               shardy_error *err);
/* Wait until the work in progress holds at most `memory` bytes. Failure of any work. */
shardy_status sfi_workers_wait(struct sfi_workers *workers, uint64_t memory, shardy_error *err);
/* Wait until no work is in progress. Failure of any work. */
shardy_status sfi_workers_finish(struct sfi_workers *workers, shardy_error *err);
void sfi_workers_free(struct sfi_workers *workers); /* waits for running work; NULL is accepted */

/* Rows that arrive by shard (shardy_input_order). writer->results exists. */
struct sfi_ordered;
shardy_status sfi_ordered_new(shardy_writer *writer, struct sfi_ordered **ordered,
                              shardy_error *err);
/* Takes a checked batch over, on failure too. INPUT: a promise of the order is broken. */
shardy_status sfi_ordered_add(struct sfi_ordered *ordered, struct sfi_batch *batch,
                              shardy_error *err);
/* No more rows will come: complete every shard. */
shardy_status sfi_ordered_finish(struct sfi_ordered *ordered, shardy_error *err);
/* Abandons shards that are not complete. NULL is accepted. */
void sfi_ordered_free(struct sfi_ordered *ordered);

/* Rows of one shard in key order; the last one is held back, as an equal key may follow. */
struct sfi_sorted;
shardy_status sfi_sorted_new(shardy_key_encoding encoding, struct sfi_sorted **sorted,
                             shardy_error *err);
void sfi_sorted_free(struct sfi_sorted *sorted); /* NULL is accepted */
/*
 * Check the order of some rows of a batch and hand them to the shard. With `check_only` nothing is
 * handed on. INPUT: a key goes back.
 */
shardy_status sfi_sorted_add(struct sfi_sorted *sorted, struct sfi_shard_task *task,
                             bool check_only, const struct sfi_batch *batch, size_t first,
                             size_t count, shardy_error *err);
/* Hand the row held back on, and be ready for another shard. */
shardy_status sfi_sorted_end(struct sfi_sorted *sorted, struct sfi_shard_task *task,
                             bool check_only, shardy_error *err);

/* Rows held back while the number of shards is unknown. */
struct sfi_stage;
shardy_status sfi_stage_new(struct sfi_spill_file *spill, uint64_t memory_limit,
                            struct sfi_stage **stage, shardy_error *err);
void sfi_stage_free(struct sfi_stage *stage); /* NULL is accepted */
/* Takes the batch over, on failure too. */
shardy_status sfi_stage_add(struct sfi_stage *stage, struct sfi_batch *batch, shardy_error *err);
/* Hand everything to `rows` in the order of arrival. */
shardy_status sfi_stage_replay(struct sfi_stage *stage, struct sfi_rows *rows, shardy_error *err);

#endif
