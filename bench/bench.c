/*
 * bench.c - the harness: samples, paired runs, JSON lines, scratch folders, child processes.
 *
 * Peak memory is VmHWM, reset before each stretch through /proc/self/clear_refs, so it includes
 * the input columns that a build uses in place. Data and peers are in the neighbouring files.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct {
    int count;
    char **pieces;
    char dirs[4][BENCH_PATH_MAX];
    unsigned dir_count;
} process;

static void remove_dirs(void)
{
    for (unsigned i = 0; i < process.dir_count; i++) {
        bench_dir_remove(process.dirs[i]);
    }
}

void bench_start(int argc, char **argv)
{
    process.count = argc - 1;
    process.pieces = argv + 1;
    if (atexit(remove_dirs) != 0) {
        bench_die("cannot register the clean-up");
    }
}

bool bench_wanted(const char *id)
{
    for (int i = 0; i < process.count; i++) {
        if (strstr(id, process.pieces[i]) != NULL) {
            return true;
        }
    }
    return process.count == 0;
}

bool bench_quick(void)
{
    const char *quick = getenv("QUICK");

    return quick != NULL && quick[0] != '\0' && strcmp(quick, "0") != 0;
}

uint64_t bench_size(uint64_t full, uint64_t quick)
{
    return bench_quick() ? quick : full;
}

void bench_die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)fputs("bench: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void bench_ok(shardy_status status, const shardy_error *err, const char *what)
{
    if (status != SHARDY_OK) {
        bench_die("%s: %s: %s", what, shardy_status_name(status), err->message);
    }
}

void bench_note(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)fputs("  ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
}

void *bench_alloc(size_t count, size_t size)
{
    void *block = calloc(count == 0 ? 1 : count, size);

    if (block == NULL) {
        bench_die("out of memory: %zu x %zu bytes", count, size);
    }
    return block;
}

double bench_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void peak_reset(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");

    if (file != NULL) {
        (void)fputs("5", file);
        (void)fclose(file);
    }
}

static double peak_mb(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    double kib = 0;

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            kib = strtod(line + 6, NULL);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return kib / 1024.0;
}

void bench_begin(struct bench_sample *sample)
{
    (void)malloc_trim(0);
    peak_reset();
    sample->begun = bench_now();
}

void bench_end(struct bench_sample *sample)
{
    sample->seconds = bench_now() - sample->begun;
    sample->rss_mb = peak_mb();
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

double bench_median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

void bench_compare(bench_side ours, bench_side peer, void *arg, int reps, struct bench_pair *out)
{
    double ours_s[BENCH_REPS_MAX];
    double peer_s[BENCH_REPS_MAX];
    double ratios[BENCH_REPS_MAX];

    memset(out, 0, sizeof *out);
    out->reps = reps;
    for (int i = 0; i < reps; i++) {
        struct bench_sample a = {0};
        struct bench_sample b = {0};

        if (i % 2 == 0) {
            ours(arg, &a);
            peer(arg, &b);
        } else {
            peer(arg, &b);
            ours(arg, &a);
        }
        ours_s[i] = a.seconds;
        peer_s[i] = b.seconds;
        ratios[i] = b.seconds / a.seconds;
        out->speedups[i] = ratios[i];
        out->rss_mb = a.rss_mb > out->rss_mb ? a.rss_mb : out->rss_mb;
        bench_note("run %d of %d: ours %.4g s, peer %.4g s, %.2fx", i + 1, reps, a.seconds,
                   b.seconds, ratios[i]);
    }
    out->ours_s = bench_median(ours_s, reps);
    out->peer_s = bench_median(peer_s, reps);
    out->speedup = bench_median(ratios, reps);
}

void bench_emit(const struct bench_line *line)
{
    (void)printf("{\"id\":\"%s\",\"rows\":%llu,\"ours\":%.6g,\"peer\":%.6g,\"peer_name\":\"%s\","
                 "\"unit\":\"%s\",\"ratio\":%.3f,\"rss_mb\":%.1f,\"goal\":%g%s%s}\n",
                 line->id, (unsigned long long)line->rows, line->ours, line->peer, line->peer_name,
                 line->unit, line->ratio, line->rss_mb, line->goal, line->extra != NULL ? "," : "",
                 line->extra != NULL ? line->extra : "");
    (void)fflush(stdout);
}

/* The pairs' ratios as a JSON member, after the caller's own. */
static void append_runs(char *out, size_t size, const struct bench_pair *pair, const char *extra)
{
    size_t used = (size_t)snprintf(out, size, "%s%s\"runs\":[", extra != NULL ? extra : "",
                                   extra != NULL ? "," : "");

    for (int i = 0; i < pair->reps && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s%.3f", i > 0 ? "," : "",
                                 pair->speedups[i]);
    }
    if (used < size) {
        (void)snprintf(out + used, size - used, "]");
    }
}

void bench_emit_pair(const struct bench_line *line, const struct bench_pair *pair)
{
    char members[1024];
    struct bench_line whole = *line;

    append_runs(members, sizeof members, pair, line->extra);
    whole.ratio = pair->speedup;
    whole.extra = members;
    bench_emit(&whole);
}

void bench_emit_rate(const char *id, uint64_t rows, const struct bench_pair *pair,
                     const char *peer_name, double goal, const char *extra)
{
    char members[1024];
    double count = (double)rows;

    append_runs(members, sizeof members, pair, extra);
    bench_emit(&(struct bench_line){id, rows, count / pair->ours_s, count / pair->peer_s, peer_name,
                                    "rows/s", pair->speedup, pair->rss_mb, goal, members});
}

void bench_emit_ns(const char *id, uint64_t rows, uint64_t keys, const struct bench_pair *pair,
                   const char *peer_name, double goal, const char *extra)
{
    char members[1024];
    double scale = 1e9 / (double)keys;

    append_runs(members, sizeof members, pair, extra);
    bench_emit(&(struct bench_line){id, rows, pair->ours_s * scale, pair->peer_s * scale, peer_name,
                                    "ns", pair->speedup, pair->rss_mb, goal, members});
}

/* Make a new folder below `base` that is removed at exit. */
static void make_dir(char path[BENCH_PATH_MAX], const char *base)
{
    char real[4096];

    if (realpath(base, real) == NULL) {
        bench_die("%s: %s", base, strerror(errno));
    }
    bench_path(path, real, "shardy-bench-XXXXXX");
    if (mkdtemp(path) == NULL) {
        bench_die("%s: %s", path, strerror(errno));
    }
    if (process.dir_count == sizeof process.dirs / sizeof process.dirs[0]) {
        bench_die("too many scratch folders");
    }
    memcpy(process.dirs[process.dir_count++], path, BENCH_PATH_MAX);
}

static bool is_tmpfs(const char *path, uint64_t need)
{
    struct statfs fs;

    return statfs(path, &fs) == 0 && fs.f_type == TMPFS_MAGIC &&
           (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize >= need;
}

void bench_dir_memory(char path[BENCH_PATH_MAX], uint64_t need)
{
    const char *base = getenv("BENCH_TMPFS");

    if (base == NULL || base[0] == '\0') {
        base = is_tmpfs("/dev/shm", need) ? "/dev/shm" : getenv("TMPDIR");
    }
    if (base == NULL || base[0] == '\0') {
        base = "/tmp";
    }
    if (!is_tmpfs(base, need)) {
        bench_note("%s is no tmpfs with %.1f GB free: these figures include the disk", base,
                   (double)need / 1e9);
    }
    make_dir(path, base);
}

void bench_dir_disk(char path[BENCH_PATH_MAX])
{
    const char *base = getenv("BENCH_DISK");

    make_dir(path, base != NULL && base[0] != '\0' ? base : ".");
    if (is_tmpfs(path, 0)) {
        bench_note("%s is a tmpfs: set BENCH_DISK to a folder on a disk", path);
    }
}

void bench_path(char path[BENCH_PATH_MAX], const char *dir, const char *name)
{
    int used = snprintf(path, BENCH_PATH_MAX, "%s/%s", dir, name);

    if (used < 0 || used >= (int)BENCH_PATH_MAX) {
        bench_die("%s/%s: path too long", dir, name);
    }
}

void bench_dir_sub(char path[BENCH_PATH_MAX], const char *base, const char *name)
{
    bench_path(path, base, name);
    bench_dir_remove(path);
    if (mkdir(path, 0700) != 0) {
        bench_die("%s: %s", path, strerror(errno));
    }
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    (void)remove(path);
    return 0;
}

void bench_dir_remove(const char *path)
{
    (void)nftw(path, remove_entry, 32, FTW_DEPTH | FTW_PHYS);
}

void bench_url(char url[BENCH_PATH_MAX], const char *path)
{
    int used = snprintf(url, BENCH_PATH_MAX, "file://%s", path);

    if (used < 0 || used >= (int)BENCH_PATH_MAX) {
        bench_die("%s: path too long", path);
    }
}

/* In the child: replace this process by a fresh copy of the program. */
static _Noreturn void exec_self(const char *const *args, int output)
{
    const char *argv[16] = {"bench-child"};
    size_t count = 1;

    while (args[count - 1] != NULL && count + 1 < sizeof argv / sizeof argv[0]) {
        argv[count] = args[count - 1];
        count++;
    }
    if (dup2(output, STDOUT_FILENO) >= 0) {
        (void)execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
    }
    _exit(127);
}

void bench_child(const char *const *args, double *numbers, int count)
{
    int ends[2];
    int status = 0;
    char text[512];
    size_t used = 0;
    ssize_t got = 0;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        bench_die("pipe: %s", strerror(errno));
    }
    pid_t child = fork();
    if (child < 0) {
        bench_die("fork: %s", strerror(errno));
    }
    if (child == 0) {
        exec_self(args, ends[1]);
    }
    (void)close(ends[1]);
    while (used + 1 < sizeof text &&
           (got = read(ends[0], text + used, sizeof text - 1 - used)) > 0) {
        used += (size_t)got;
    }
    (void)close(ends[0]);
    text[used] = '\0';
    if (waitpid(child, &status, 0) != child || status != 0) {
        bench_die("child %s failed with status %d", args[0], status);
    }
    char *at = text;
    for (int i = 0; i < count; i++) {
        char *end = at;

        numbers[i] = strtod(at, &end);
        if (end == at) {
            bench_die("child %s answered \"%s\"", args[0], text);
        }
        at = end;
    }
}
