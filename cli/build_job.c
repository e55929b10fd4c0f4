/*
 * build_job.c - the pipeline of a build: cut, parse, add.
 *
 * Every thread does the same: take the next piece of input (under the lock: reading is sequential),
 * parse it, put the batch into a ring by its number. Whoever finds the next batch in order there
 * becomes the one thread that talks to the writer until the ring has a gap. So rows reach the
 * writer in input order (the last of equal keys wins), all threads parse, and the size of the ring
 * bounds the memory.
 */
#include "build_job.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "json_shim.h"

/* A parsed piece that waits for its turn. */
struct parsed {
    bool ready;
    bool unreadable; /* `error` is about the file, not about a place in it */
    struct input_source *source;
    uint64_t offset;
    struct row_batch *batch;
    struct row_error error;
};

struct job {
    struct input *input;
    const struct row_rules *rules;
    shardy_writer *writer;
    struct row_schema schema;
    char *message;
    size_t message_size;
    size_t ring_size;

    /* The delivering thread only: */
    struct input_source *line_source; /* source that `line` counts */
    uint64_t line;                    /* lines before the next piece */

    struct {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct parsed *ring; /* by piece number modulo ring_size */
        uint64_t taken;      /* pieces handed out */
        uint64_t delivered;  /* pieces given to the writer */
        bool delivering;
        bool at_end;
        bool failed;
    } synced;
};

static const char *shown_name(const struct input_source *source)
{
    return strcmp(source->path, "-") == 0 ? "<stdin>" : source->path;
}

/* `file:line: message`, or for kv `file: byte offset N: message`. */
static void describe(struct job *job, const struct parsed *piece, uint64_t position,
                     const char *text)
{
    if (piece->source->format == INPUT_KV) {
        (void)snprintf(job->message, job->message_size, "%s: byte offset %" PRIu64 ": %s",
                       shown_name(piece->source), piece->offset + position, text);
    } else {
        (void)snprintf(job->message, job->message_size, "%s:%" PRIu64 ": %s",
                       shown_name(piece->source), job->line + position + 1, text);
    }
}

/* One row of a batch by itself; with columns it can only go as a batch of one. */
static shardy_status add_row(struct job *job, struct row_batch *batch, size_t row,
                             shardy_error *err)
{
    struct ArrowArray array;
    shardy_key key;
    const void *value;
    size_t size;

    if (job->rules->column_count > 0) {
        row_batch_export(batch, row, 1, &array);
        return shardy_writer_add_batch(job->writer, &job->schema.root, &array, err);
    }
    row_batch_get(batch, row, &key, &value, &size);
    return shardy_writer_add(job->writer, &key, value, size, err);
}

/* The writer refused a batch: add its rows singly to find the one that it does not take. */
static void find_bad_row(struct job *job, const struct parsed *piece, const char *batch_message)
{
    for (size_t i = 0; i < piece->batch->rows; i++) {
        shardy_error err = SHARDY_ERROR_INIT;

        if (add_row(job, piece->batch, i, &err) != SHARDY_OK) {
            const char *repeated = strstr(err.message, batch_message);

            if (repeated != NULL && repeated != err.message) {
                break; /* rows out of order ended the build: the writer only says so again */
            }
            describe(job, piece, piece->batch->positions[i], err.message);
            return;
        }
    }
    (void)snprintf(job->message, job->message_size, "%s", batch_message);
}

/* @return false when the build cannot go on */
static bool deliver(struct job *job, struct parsed *piece)
{
    struct ArrowArray array;
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_status status;

    if (job->line_source != piece->source) {
        job->line_source = piece->source;
        job->line = 0;
    }
    if (piece->unreadable) {
        (void)snprintf(job->message, job->message_size, "%s", piece->error.message);
        return false;
    }
    if (piece->error.failed) {
        describe(job, piece, piece->error.position, piece->error.message);
        return false;
    }
    if (piece->batch->rows > 0) {
        row_batch_export(piece->batch, 0, piece->batch->rows, &array);
        status = shardy_writer_add_batch(job->writer, &job->schema.root, &array, &err);
        if (status == SHARDY_INPUT || status == SHARDY_LIMIT || status == SHARDY_ASSIGNMENT) {
            find_bad_row(job, piece, err.message);
            return false;
        }
        if (status != SHARDY_OK) {
            (void)snprintf(job->message, job->message_size, "%s",
                           status == SHARDY_CANCELLED ? "" : err.message);
            return false;
        }
    }
    job->line += piece->batch->line_count;
    return true;
}

/* Give ready batches to the writer while there are any in order. Called and left with the lock. */
static void deliver_ready_locked(struct job *job)
{
    if (job->synced.delivering) {
        return;
    }
    job->synced.delivering = true;
    while (!job->synced.failed) {
        struct parsed *slot = &job->synced.ring[job->synced.delivered % job->ring_size];
        struct parsed piece = *slot;
        bool ok;

        if (!slot->ready) {
            break;
        }
        (void)pthread_mutex_unlock(&job->synced.lock);
        ok = deliver(job, &piece);
        row_batch_release(piece.batch);
        (void)pthread_mutex_lock(&job->synced.lock);
        slot->ready = false;
        slot->batch = NULL;
        job->synced.delivered++;
        job->synced.failed = job->synced.failed || !ok;
        (void)pthread_cond_broadcast(&job->synced.changed);
    }
    job->synced.delivering = false;
}

/*
 * Next piece of input with its number. An input that cannot be read takes a number too, so that
 * damage before it is reported first.
 *
 * @return false when there is nothing more to do
 */
static bool take_locked(struct job *job, struct buffer *data, struct input_piece *piece,
                        uint64_t *number, struct parsed *parsed)
{
    struct row_error *error = &parsed->error;
    struct input_source *source;
    enum input_next next;

    while (!job->synced.failed && !job->synced.at_end &&
           job->synced.taken - job->synced.delivered >= job->ring_size) {
        (void)pthread_cond_wait(&job->synced.changed, &job->synced.lock);
    }
    if (job->synced.failed || job->synced.at_end) {
        return false;
    }
    *piece = (struct input_piece){0};
    next = input_next(job->input, data, piece, error->message, sizeof error->message);
    job->synced.at_end = next != INPUT_PIECE;
    job->synced.failed = next == INPUT_INTERRUPTED;
    if (job->synced.at_end) {
        (void)pthread_cond_broadcast(&job->synced.changed);
    }
    if (next == INPUT_END || next == INPUT_INTERRUPTED) {
        return false;
    }
    parsed->unreadable = next == INPUT_FAILED;
    error->failed = parsed->unreadable;
    source = piece->source;
    if (piece->first && (source->format == INPUT_CSV || source->format == INPUT_TSV)) {
        source->layout = csv_layout_read(
            piece->data, piece->size, source->format == INPUT_TSV ? '\t' : ',', job->rules, error);
    }
    *number = job->synced.taken++;
    return true;
}

static void parse(struct csv_state *csv, struct json_shim *json, const struct input_piece *piece,
                  struct row_batch *batch, struct row_error *error)
{
    if (error->failed) {
        return; /* unreadable, or the header is not usable */
    }
    switch (piece->source->format) {
    case INPUT_CSV:
    case INPUT_TSV:
        csv_parse_piece(csv, piece, batch, error);
        break;
    case INPUT_JSONL:
        jsonl_parse_piece(json, piece, batch, error);
        break;
    case INPUT_KV:
        kv_parse_piece(piece, batch, error);
        break;
    }
}

static void *work(void *arg)
{
    struct job *job = arg;
    struct csv_state *csv = csv_state_new();
    struct json_shim *json = json_shim_new();
    struct buffer data = {0};
    struct input_piece piece;
    uint64_t number;

    (void)pthread_mutex_lock(&job->synced.lock);
    for (;;) {
        struct parsed parsed = {.ready = true};

        if (!take_locked(job, &data, &piece, &number, &parsed)) {
            break;
        }
        (void)pthread_mutex_unlock(&job->synced.lock);
        parsed.source = piece.source;
        parsed.offset = piece.offset;
        parsed.batch = row_batch_new(job->rules, piece.size);
        parse(csv, json, &piece, parsed.batch, &parsed.error);
        (void)pthread_mutex_lock(&job->synced.lock);
        job->synced.ring[number % job->ring_size] = parsed;
        deliver_ready_locked(job);
    }
    (void)pthread_mutex_unlock(&job->synced.lock);
    buffer_clear(&data);
    json_shim_free(json);
    csv_state_free(csv);
    return NULL;
}

bool build_job_run(struct input *input, const struct row_rules *rules, shardy_writer *writer,
                   unsigned threads, char *message, size_t message_size)
{
    struct job job = {.input = input,
                      .rules = rules,
                      .writer = writer,
                      .message = message,
                      .message_size = message_size,
                      .ring_size = threads + 2};
    pthread_t *helpers = cli_zeroed(threads, sizeof *helpers);
    unsigned started = 0;

    row_schema_init(&job.schema, rules);
    job.synced.ring = cli_zeroed(job.ring_size, sizeof *job.synced.ring);
    (void)pthread_mutex_init(&job.synced.lock, NULL);
    (void)pthread_cond_init(&job.synced.changed, NULL);
    message[0] = '\0';
    /* Fewer threads than asked for still do the work. */
    while (started + 1 < threads && pthread_create(&helpers[started], NULL, work, &job) == 0) {
        started++;
    }
    (void)work(&job);
    for (unsigned i = 0; i < started; i++) {
        (void)pthread_join(helpers[i], NULL);
    }
    for (size_t i = 0; i < job.ring_size; i++) {
        row_batch_release(job.synced.ring[i].batch);
    }
    (void)pthread_cond_destroy(&job.synced.changed);
    (void)pthread_mutex_destroy(&job.synced.lock);
    row_schema_clear(&job.schema);
    cli_free(job.synced.ring);
    cli_free(helpers);
    return !job.synced.failed;
}
