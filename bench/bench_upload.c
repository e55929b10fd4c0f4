/*
 * bench_upload.c - upload/4g: a build whose 64 shards go to the server as they are made, against a
 * bare libcurl-multi upload of objects of the same sizes, in parts of the same size, with as many
 * of them at once. Our side is a fresh process, so that its peak memory is its own; the keys of its
 * rows are chosen before the clock starts and do not count.
 */
#include "bench_transfer.h"

#include <shardyfusion/writer.h>

#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_ROWS    32768
#define UPLOAD_VALUE  100u
#define UPLOAD_FILES  64u
#define BUILD_THREADS 2u
#define PEER_LANES    (BUILD_THREADS * SFI_UPLOAD_PARTS_IN_FLIGHT)

/* ---- upload: our side, in a fresh process ---------------------------------------------------- */

/* An Arrow view of keys that stay where they are and of the one block of values. */
struct batch {
    const void *root_buffers[1];
    const void *key_buffers[2];
    const void *value_buffers[3];
    struct ArrowArray columns[2];
    struct ArrowArray *children[2];
};

static int32_t offsets[BATCH_ROWS + 1];
static char *values; /* of every batch: the row's place in its batch decides */

static void release_child(struct ArrowArray *array)
{
    array->release = NULL;
}

static void release_batch(struct ArrowArray *array)
{
    free(array->private_data);
    array->release = NULL;
}

static void release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static void add_batch(shardy_writer *writer, const uint64_t *keys, int64_t count)
{
    struct ArrowSchema columns[2] = {
        {.format = "L", .name = "key", .release = release_schema},
        {.format = "z", .name = "value", .release = release_schema},
    };
    struct ArrowSchema *children[2] = {&columns[0], &columns[1]};
    struct ArrowSchema schema = {.format = "+s",
                                 .name = "",
                                 .n_children = 2,
                                 .children = children,
                                 .release = release_schema};
    struct batch *batch = bench_alloc(1, sizeof *batch);
    shardy_error err = SHARDY_ERROR_INIT;

    batch->key_buffers[1] = keys;
    batch->value_buffers[1] = offsets;
    batch->value_buffers[2] = values;
    batch->columns[0] = (struct ArrowArray){
        .length = count, .n_buffers = 2, .buffers = batch->key_buffers, .release = release_child};
    batch->columns[1] = (struct ArrowArray){
        .length = count, .n_buffers = 3, .buffers = batch->value_buffers, .release = release_child};
    batch->children[0] = &batch->columns[0];
    batch->children[1] = &batch->columns[1];
    struct ArrowArray array = {.length = count,
                               .n_buffers = 1,
                               .n_children = 2,
                               .buffers = batch->root_buffers,
                               .children = batch->children,
                               .release = release_batch,
                               .private_data = batch};
    bench_ok(shardy_writer_add_batch(writer, &schema, &array, &err), &err,
             "shardy_writer_add_batch");
}

static void prepare_values(void)
{
    uint64_t state = 5;

    values = bench_alloc(BATCH_ROWS, UPLOAD_VALUE);
    for (size_t at = 0; at < (size_t)BATCH_ROWS * UPLOAD_VALUE; at += 8) {
        uint64_t word = bench_random(&state);
        memcpy(values + at, &word, sizeof word);
    }
    for (int32_t i = 0; i <= BATCH_ROWS; i++) {
        offsets[i] = i * (int32_t)UPLOAD_VALUE;
    }
}

/* The first `rows` keys of each shard, ascending. */
static uint64_t *choose_keys(uint32_t shards, uint64_t rows)
{
    uint64_t *keys = bench_alloc(shards * rows, sizeof *keys);
    uint64_t *counts = bench_alloc(shards, sizeof *counts);
    uint32_t full = 0;

    for (uint64_t key = 0; full < shards; key++) {
        uint32_t shard = (uint32_t)(bench_hash_u64(key) % shards);

        if (counts[shard] < rows) {
            keys[shard * rows + counts[shard]++] = key;
            full += counts[shard] == rows;
        }
    }
    free(counts);
    return keys;
}

static uint64_t rows_of_upload(void)
{
    return bench_size(534000, 133500); /* a shard: 62.5 MB, 15.6 MB */
}

/* The one place that says what the library is told about the order of its input: rows come shard
 * by shard, in key order. */
static void describe_input(shardy_writer_options *options)
{
    options->input_order = SHARDY_INPUT_SORTED;
}

static double resident_mb(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long size = 0;
    unsigned long resident = 0;

    if (file == NULL || fscanf(file, "%lu %lu", &size, &resident) != 2) {
        bench_die("cannot read /proc/self/statm");
    }
    (void)fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576.0;
}

void transfer_upload_child(const char *url)
{
    shardy_writer_options options = SHARDY_WRITER_OPTIONS_INIT;
    shardy_build_result result = {0};
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_writer *writer = NULL;
    struct bench_sample sample = {0};
    uint64_t rows = rows_of_upload();
    uint64_t *keys = choose_keys(UPLOAD_FILES, rows);

    prepare_values();
    double held = resident_mb();
    options.url = url;
    options.num_dbs = UPLOAD_FILES;
    options.threads = BUILD_THREADS;
    describe_input(&options);
    bench_begin(&sample);
    bench_ok(shardy_writer_open(&options, &writer, &err), &err, "shardy_writer_open");
    for (uint32_t shard = 0; shard < UPLOAD_FILES; shard++) {
        for (uint64_t i = 0; i < rows; i += BATCH_ROWS) {
            add_batch(writer, keys + shard * rows + i,
                      (int64_t)(rows - i < BATCH_ROWS ? rows - i : BATCH_ROWS));
        }
    }
    bench_ok(shardy_writer_finish(writer, &result, &err), &err, "shardy_writer_finish");
    bench_end(&sample);
    if (result.rows_written != rows * UPLOAD_FILES) {
        bench_die("%llu rows written", (unsigned long long)result.rows_written);
    }
    (void)printf("%.6f %.3f %.3f %.6f %.6f %.6f\n", sample.seconds, sample.rss_mb - held,
                 transfer_mb(result.spilled_bytes), (double)result.read_us / 1e6,
                 (double)result.build_us / 1e6, (double)result.publish_us / 1e6);
}

/* Content of what was uploaded, from the server's files. */
static void check_upload(void)
{
    uint64_t rows = 0;
    uint64_t digest = 0;
    uint64_t expected = 0;
    uint64_t shard_rows = rows_of_upload();
    uint64_t count = shard_rows * UPLOAD_FILES;
    uint64_t *keys = choose_keys(UPLOAD_FILES, shard_rows);

    prepare_values();
    for (uint64_t i = 0; i < count; i++) {
        uint64_t big = __builtin_bswap64(keys[i]);

        expected += bench_row_digest(
            &big, sizeof big, values + i % shard_rows % BATCH_ROWS * UPLOAD_VALUE, UPLOAD_VALUE);
    }
    for (size_t i = 0; i < transfer_objects.count; i++) {
        bench_sqlite_check(transfer_objects.items[i].path, i == 0, &rows, &digest);
    }
    if (rows != count || digest != expected) {
        bench_die("upload: %llu of %llu rows, digest %016llx, expected %016llx",
                  (unsigned long long)rows, (unsigned long long)count, (unsigned long long)digest,
                  (unsigned long long)expected);
    }
    free(values);
    free(keys);
}

/* ---- upload: the peer ------------------------------------------------------------------------ */

enum stage { STAGE_NEW, STAGE_CREATING, STAGE_PARTS, STAGE_COMPLETING, STAGE_DONE };

struct multipart {
    enum stage stage;
    uint64_t size;
    unsigned parts;
    unsigned started;
    unsigned ended;
    char id[128];
    char (*etags)[80];
    char *list; /* body of the completion */
};

struct put_all {
    struct multipart *objects;
    unsigned count;
    const char *data; /* as long as a part */
};

static void part_list(struct multipart *object)
{
    size_t size = 64 + object->parts * 200u;
    size_t n;

    object->list = bench_alloc(size, 1);
    n = (size_t)snprintf(object->list, size, "<CompleteMultipartUpload>");
    for (unsigned i = 0; i < object->parts; i++) {
        n += (size_t)snprintf(object->list + n, size - n,
                              "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>", i + 1,
                              object->etags[i]);
    }
    (void)snprintf(object->list + n, size - n, "</CompleteMultipartUpload>");
}

static uint64_t part_bytes(const struct multipart *object, unsigned part)
{
    uint64_t left = object->size - part * SFI_UPLOAD_PART_BYTES;

    return left < SFI_UPLOAD_PART_BYTES ? left : SFI_UPLOAD_PART_BYTES;
}

/* What an object can do now. */
static bool next_of(struct put_all *all, unsigned index, struct bare_request *request)
{
    struct multipart *object = &all->objects[index];
    int n =
        snprintf(request->target, sizeof request->target, "/" S3_SERVER_BUCKET "/peer/%u", index);
    char *query = request->target + n;
    size_t room = sizeof request->target - (size_t)n;

    request->arg = (void *)(uintptr_t)index;
    if (object->stage == STAGE_NEW && object->parts == 1) {
        request->method = "PUT";
        request->body = all->data;
        request->body_size = object->size;
        object->stage = STAGE_COMPLETING;
    } else if (object->stage == STAGE_NEW) {
        request->method = "POST";
        (void)snprintf(query, room, "?uploads=");
        object->stage = STAGE_CREATING;
    } else if (object->stage == STAGE_PARTS && object->started < object->parts) {
        request->method = "PUT";
        request->body = all->data;
        request->body_size = part_bytes(object, object->started);
        (void)snprintf(query, room, "?partNumber=%u&uploadId=%s", ++object->started, object->id);
        request->size = object->started; /* remembered for the end; a PUT has no range */
    } else if (object->stage == STAGE_PARTS && object->ended == object->parts) {
        part_list(object);
        request->method = "POST";
        request->body = object->list;
        request->body_size = strlen(object->list);
        (void)snprintf(query, room, "?uploadId=%s", object->id);
        object->stage = STAGE_COMPLETING;
    } else {
        return false;
    }
    return true;
}

/* Objects in order: the first that can do something, at most as many at once as there are lanes. */
static bool put_next(void *arg, struct bare_request *request)
{
    struct put_all *all = arg;
    unsigned open = 0;

    for (unsigned i = 0; i < all->count && open < PEER_LANES; i++) {
        open += all->objects[i].stage != STAGE_DONE;
        if (next_of(all, i, request)) {
            return true;
        }
    }
    return false;
}

static void put_ended(void *arg, struct bare_request *request)
{
    struct put_all *all = arg;
    struct multipart *object = &all->objects[(uintptr_t)request->arg];

    if (object->stage == STAGE_CREATING) {
        const char *id = strstr(request->text, "<UploadId>");

        if (id == NULL) {
            bench_die("no upload id: %s", request->text);
        }
        id += strlen("<UploadId>");
        (void)snprintf(object->id, sizeof object->id, "%.*s", (int)strcspn(id, "<"), id);
        object->stage = STAGE_PARTS;
    } else if (object->stage == STAGE_PARTS) {
        memcpy(object->etags[request->size - 1], request->etag, sizeof request->etag);
        object->ended++;
    } else {
        object->stage = STAGE_DONE;
    }
}

struct upload_case {
    double last[6]; /* answers of our last run */
    struct put_all peer;
    uint64_t bytes;
    bool checked;
};

static void upload_ours(void *arg, struct bench_sample *sample)
{
    struct upload_case *c = arg;

    bench_child((const char *const[]){"child-upload", "s3://" S3_SERVER_BUCKET "/ours", NULL},
                c->last, 6);
    sample->seconds = c->last[0];
    sample->rss_mb = c->last[1];
    bench_note("ours: %.2f s, %.0f MiB, %.0f MB spilled, %.2f reading, %.2f building", c->last[0],
               c->last[1], c->last[2], c->last[3], c->last[4]);
    if (!c->checked) {
        transfer_find("ours", "shard.db");
        check_upload();
        transfer_find("ours", "");
        c->peer.count = (unsigned)transfer_objects.count;
        c->peer.objects = bench_alloc(transfer_objects.count, sizeof *c->peer.objects);
        for (size_t i = 0; i < transfer_objects.count; i++) {
            struct multipart *object = &c->peer.objects[i];

            object->size = transfer_objects.items[i].size;
            object->parts =
                (unsigned)((object->size + SFI_UPLOAD_PART_BYTES - 1) / SFI_UPLOAD_PART_BYTES);
            object->etags = bench_alloc(object->parts, sizeof *object->etags);
            c->bytes += object->size;
        }
        c->checked = true;
    }
    transfer_remove("ours");
}

static void upload_peer(void *arg, struct bench_sample *sample)
{
    struct upload_case *c = arg;
    const struct bare_work work = {put_next, put_ended, &c->peer};
    struct bare *bare = bare_new(s3_server_url(transfer_world.server), PEER_LANES);

    for (unsigned i = 0; i < c->peer.count; i++) {
        struct multipart *object = &c->peer.objects[i];

        free(object->list);
        object->list = NULL;
        object->stage = STAGE_NEW;
        object->started = object->ended = 0;
    }
    bench_begin(sample);
    bare_run(bare, &work);
    bench_end(sample);
    bare_free(bare);
    transfer_remove("peer");
}

void transfer_upload(void)
{
    struct upload_case c = {0};
    struct bench_pair pair;
    char extra[400];
    char *data = bench_alloc(SFI_UPLOAD_PART_BYTES, 1);
    uint64_t state = 6;

    for (size_t at = 0; at < SFI_UPLOAD_PART_BYTES; at += 8) {
        uint64_t word = bench_random(&state);
        memcpy(data + at, &word, sizeof word);
    }
    c.peer.data = data;
    bench_note("upload/4g");
    remote_direct(&transfer_world);
    bench_compare(upload_ours, upload_peer, &c, BENCH_REPS_LONG, &pair);
    double in_flight = BUILD_THREADS * (1 + SFI_UPLOAD_PARTS_IN_FLIGHT) *
                       (double)SFI_UPLOAD_PART_BYTES / 1048576.0;
    (void)snprintf(extra, sizeof extra,
                   "\"goal_rss_mb\":%.0f,\"spilled_mb\":%.0f,\"b_per_row\":%.1f", in_flight + 64,
                   c.last[2], (double)c.bytes / (double)(rows_of_upload() * UPLOAD_FILES));
    const struct bench_line line = {
        .id = "upload/4g",
        .rows = rows_of_upload() * UPLOAD_FILES,
        .ours = transfer_mb(c.bytes) / pair.ours_s,
        .peer = transfer_mb(c.bytes) / pair.peer_s,
        .peer_name = "bare libcurl multi, 8 connections",
        .unit = "MB/s",
        .rss_mb = pair.rss_mb,
        .goal = 0.85,
        .extra = extra,
    };
    bench_emit_pair(&line, &pair);
    for (unsigned i = 0; i < c.peer.count; i++) {
        free(c.peer.objects[i].etags);
        free(c.peer.objects[i].list);
    }
    free(c.peer.objects);
    free(data);
}
