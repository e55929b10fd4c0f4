/*
 * bench_transfer.c - bytes over the loopback interface, against a bare libcurl-multi loop
 * (bench_bare.h) that talks to the same server: downloads into the cache directory here, a build
 * that uploads in bench_upload.c, a thousand lookups at once in bench_async.c.
 */
#include "bench_transfer.h"

#include <shardyfusion/reader.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DOWNLOAD_REPS 9

/* ---- objects of the server ------------------------------------------------------------------- */

struct remote transfer_world;
struct transfer_objects transfer_objects;

static const char *wanted; /* end of a path */

static int see_file(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    size_t size = strlen(path);
    size_t tail = strlen(wanted);

    (void)walk;
    if (kind == FTW_F && size > tail && strcmp(path + size - tail, wanted) == 0) {
        if (transfer_objects.count == TRANSFER_FILES_MAX) {
            bench_die("more than %u objects", TRANSFER_FILES_MAX);
        }
        struct transfer_object *object = &transfer_objects.items[transfer_objects.count++];

        (void)snprintf(object->path, sizeof object->path, "%s", path);
        object->size = (uint64_t)info->st_size;
    }
    return 0;
}

/* From the server's own folder. */
void transfer_find(const char *prefix, const char *name)
{
    const char *folder = s3_server_folder(transfer_world.server);
    char path[BENCH_PATH_MAX];

    transfer_objects.count = 0;
    wanted = name;
    bench_path(path, folder, prefix);
    (void)nftw(path, see_file, 16, FTW_PHYS);
    for (size_t i = 0; i < transfer_objects.count; i++) {
        struct transfer_object *object = &transfer_objects.items[i];
        size_t n = (size_t)snprintf(object->target, sizeof object->target, "/" S3_SERVER_BUCKET);

        for (const char *at = object->path + strlen(folder); *at != '\0' && n + 4 < BENCH_PATH_MAX;
             at++) {
            n += (size_t)snprintf(object->target + n, BENCH_PATH_MAX - n,
                                  *at == '=' ? "%%3D" : "%c", *at);
        }
    }
}

void transfer_remove(const char *prefix)
{
    char path[BENCH_PATH_MAX];

    bench_path(path, s3_server_folder(transfer_world.server), prefix);
    bench_dir_remove(path);
}

/* ---- download -------------------------------------------------------------------------------- */

struct get_all {
    struct bare *bare;
    char *signatures[TRANSFER_FILES_MAX];
    int files[TRANSFER_FILES_MAX];
    size_t next;
    bool keep; /* write what comes */
};

static bool get_next(void *arg, struct bare_request *request)
{
    struct get_all *all = arg;

    if (all->next == transfer_objects.count) {
        return false;
    }
    (void)snprintf(request->target, sizeof request->target, "%s",
                   transfer_objects.items[all->next].target);
    request->method = "GET";
    request->authorization = all->signatures[all->next];
    request->fd = all->keep ? all->files[all->next] : -1;
    request->arg = &transfer_objects.items[all->next++];
    return true;
}

static void get_ended(void *arg, struct bare_request *request)
{
    const struct transfer_object *object = request->arg;

    (void)arg;
    if (request->received != object->size) {
        bench_die("%s: %llu bytes", object->target, (unsigned long long)request->received);
    }
}

static void download_ours(void *arg, struct bench_sample *sample)
{
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_reader *reader = NULL;
    char cache[BENCH_PATH_MAX];

    (void)arg;
    bench_dir_sub(cache, transfer_world.folder, "cache");
    options.url = "s3://" S3_SERVER_BUCKET "/shards";
    options.access = SHARDY_ACCESS_DOWNLOAD;
    options.open_mode = SHARDY_OPEN_EAGER;
    options.local_root = cache;
    bench_begin(sample);
    bench_ok(shardy_reader_open(&options, &reader, &err), &err, "shardy_reader_open");
    bench_end(sample);
    shardy_reader_free(reader);
    bench_dir_remove(cache);
}

static void download_bare(bool keep, struct bench_sample *sample)
{
    struct get_all all = {.keep = keep};
    const struct bare_work work = {get_next, get_ended, &all};
    char folder[BENCH_PATH_MAX];
    char path[BENCH_PATH_MAX + 16];

    all.bare = bare_new(s3_server_url(transfer_world.server), BENCH_SHARDS);
    bench_dir_sub(folder, transfer_world.folder, "peer");
    for (size_t i = 0; i < transfer_objects.count; i++) {
        all.signatures[i] = bare_sign(all.bare, transfer_objects.items[i].target);
        (void)snprintf(path, sizeof path, "%s/%zu", folder, i);
        all.files[i] = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    }
    bench_begin(sample);
    bare_run(all.bare, &work);
    bench_end(sample);
    for (size_t i = 0; i < transfer_objects.count; i++) {
        free(all.signatures[i]);
        (void)close(all.files[i]);
    }
    bare_free(all.bare);
    bench_dir_remove(folder);
}

static void download_peer(void *arg, struct bench_sample *sample)
{
    (void)arg;
    download_bare(true, sample);
}

static void download_discarded(void *arg, struct bench_sample *sample)
{
    (void)arg;
    download_bare(false, sample);
}

static void run_download(void)
{
    struct bench_pair pair;
    struct bench_pair discarded;
    struct bench_table table;
    uint64_t bytes = 0;
    char extra[64];

    bench_note("download/512m");
    bench_table_ints(&table, (int64_t)bench_size(8 * 572000, 8 * 143000), 100, 12);
    remote_build(&transfer_world, "s3://" S3_SERVER_BUCKET "/shards", &table, BENCH_SHARDS);
    transfer_find("shards", "shard.db");
    for (size_t i = 0; i < transfer_objects.count; i++) {
        bytes += transfer_objects.items[i].size;
    }
    uint64_t rows = (uint64_t)table.rows;
    bench_table_clear(&table);
    bench_compare(download_ours, download_peer, NULL, DOWNLOAD_REPS, &pair);
    bench_compare(download_ours, download_discarded, NULL, BENCH_REPS_LONG, &discarded);
    (void)snprintf(extra, sizeof extra, "\"ratio_discarded\":%.3f", discarded.speedup);
    const struct bench_line line = {
        .id = "download/512m",
        .rows = rows,
        .ours = transfer_mb(bytes) / pair.ours_s,
        .peer = transfer_mb(bytes) / pair.peer_s,
        .peer_name = "bare libcurl multi, 8 connections, into files",
        .unit = "MB/s",
        .rss_mb = pair.rss_mb,
        .goal = 0.9,
        .extra = extra,
    };
    bench_emit_pair(&line, &pair);
    transfer_remove("shards");
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "child-upload") == 0) {
        transfer_upload_child(argv[2]);
        return 0;
    }
    bench_start(argc, argv);
    if (!remote_start(&transfer_world)) {
        return 0;
    }
    if (bench_wanted("async/1000")) {
        transfer_lookups();
    }
    if (bench_wanted("download/512m")) {
        run_download();
    }
    if (bench_wanted("upload/4g")) {
        transfer_upload();
    }
    remote_stop(&transfer_world);
    return 0;
}
