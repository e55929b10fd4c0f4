/*
 * bench_cel.c - rows of Arrow columns to shards by CEL expressions, against the same rules written
 * in C (`/c`, the limit) and against cel-cpp by cel-expr-python, a row at a time (`/cel-cpp`); one
 * row at a time from C; and compilation. BENCH_CEL_PYTHON is a Python with the peer; without one
 * its cases are left out.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bench_cel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PASSES 10

/* 200 characters. */
static const char long_expression[] =
    "shard_hash(tenant + \"/\" + string(tier)) % 64u == 7u || (region in [\"eu\", \"us\", "
    "\"apac\"] && score * 2.0 > 0.5 && tier >= 3) || tenant.startsWith(\"acme\") || "
    "!region.contains(\"north\") || size(tenant) > 99";

struct bench {
    struct cel_data data;
    struct ArrowSchema schema;
    struct ArrowArray array;
    uint32_t *ids;
    const struct cel_case *now;
    shardy_router *router;
    char rows_path[BENCH_PATH_MAX];
};

/* ---- our side
 * ------------------------------------------------------------------------------------ */

struct columns {
    shardy_cel_column list[8];
    size_t count;
    char text[256];
};

/* "name:type,..." */
static void parse_columns(struct columns *columns, const char *text)
{
    char *save = NULL;

    (void)snprintf(columns->text, sizeof columns->text, "%s", text);
    columns->count = 0;
    for (char *at = strtok_r(columns->text, ",", &save); at != NULL;
         at = strtok_r(NULL, ",", &save)) {
        char *colon = strchr(at, ':');

        *colon = '\0';
        columns->list[columns->count++] = (shardy_cel_column){at, colon + 1};
    }
}

static void open_router(struct bench *bench)
{
    struct columns columns;
    shardy_router_options options = SHARDY_ROUTER_OPTIONS_INIT;
    shardy_cel_sharding sharding = {0};
    shardy_cel_value tokens[CEL_VALUES];
    shardy_error err = SHARDY_ERROR_INIT;

    parse_columns(&columns, bench->now->columns);
    for (uint32_t i = 0; i < CEL_VALUES; i++) {
        tokens[i] = shardy_cel_string(cel_values[i], strlen(cel_values[i]));
    }
    sharding.expression = bench->now->expression;
    sharding.columns = columns.list;
    sharding.column_count = columns.count;
    if (bench->now->num_dbs == 0) {
        sharding.routing_values = tokens;
        sharding.routing_value_count = CEL_VALUES;
        sharding.has_routing_values = true;
    }
    options.sharding = SHARDY_SHARDING_CEL;
    options.num_dbs = bench->now->num_dbs;
    options.cel = &sharding;
    bench_ok(shardy_router_new(&options, NULL, 0, &bench->router, &err), &err, "shardy_router_new");
}

static shardy_cel *compile(const char *expression, const char *names)
{
    struct columns columns;
    shardy_cel_options options = SHARDY_CEL_OPTIONS_INIT;
    shardy_cel *cel = NULL;
    shardy_error err = SHARDY_ERROR_INIT;

    parse_columns(&columns, names);
    options.expression = expression;
    options.columns = columns.list;
    options.column_count = columns.count;
    bench_ok(shardy_cel_compile(&options, &cel, &err), &err, "shardy_cel_compile");
    return cel;
}

static void run_ours(void *arg, struct bench_sample *sample)
{
    struct bench *bench = arg;
    shardy_error err = SHARDY_ERROR_INIT;

    bench_begin(sample);
    for (int pass = 0; pass < PASSES; pass++) {
        bench_ok(shardy_router_route_batch(bench->router, &bench->schema, &bench->array, 0,
                                           bench->ids, &err),
                 &err, "shardy_router_route_batch");
    }
    bench_end(sample);
}

static void run_hand(void *arg, struct bench_sample *sample)
{
    struct bench *bench = arg;

    bench_begin(sample);
    for (int pass = 0; pass < PASSES; pass++) {
        cel_hand(bench->now->number, &bench->data, bench->ids);
        __asm__ volatile("" : : : "memory");
    }
    bench_end(sample);
}

/* Both sides must give the same shards. */
static void check_ids(struct bench *bench)
{
    struct bench_sample sample;
    size_t rows = (size_t)bench->data.rows;
    uint32_t *other = bench_alloc(rows, sizeof *other);

    run_ours(bench, &sample);
    cel_hand(bench->now->number, &bench->data, other);
    for (size_t row = 0; row < rows; row++) {
        if (bench->ids[row] != other[row]) {
            bench_die("%s: row %zu went to %u, by hand to %u", bench->now->id, row, bench->ids[row],
                      other[row]);
        }
    }
    free(other);
}

/* ---- the peer
 * -------------------------------------------------------------------------------------- */

static const char *peer_python(void)
{
    const char *python = getenv("BENCH_CEL_PYTHON");

    return python != NULL && python[0] != '\0' ? python : NULL;
}

/* Run peer_cel.py next to this source; it prints nanoseconds and a digest. */
static double run_peer(const char *mode, const char *columns, const char *expression,
                       const char *last, uint64_t *digest)
{
    const char *python = peer_python();
    char text[128];
    int ends[2];
    int status = 0;
    size_t used = 0;
    ssize_t got = 0;

    if (pipe(ends) != 0) {
        bench_die("no pipe");
    }
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)execl(python, python, BENCH_CEL_PEER, mode, columns, expression, last, (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    while (used + 1 < sizeof text &&
           (got = read(ends[0], text + used, sizeof text - 1 - used)) > 0) {
        used += (size_t)got;
    }
    (void)close(ends[0]);
    text[used] = '\0';
    char *end = text;
    double ns = strtod(text, &end);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0 || end == text) {
        bench_die("peer_cel.py failed on %s", expression);
    }
    *digest = strtoull(end, NULL, 10);
    return ns;
}

/* The digest that the peer must have found: of the shards, or of the texts. */
static uint64_t expected_digest(const struct bench *bench, uint64_t rows)
{
    uint64_t sum = 0;

    for (uint64_t row = 0; row < rows; row++) {
        uint64_t number = bench->ids[row];

        if (bench->now->num_dbs == 0) {
            const char *text = cel_values[number];

            number = XXH3_64bits(text, strlen(text));
        }
        sum += number * (row + 1);
    }
    return sum;
}

static uint64_t peer_rows(const struct bench *bench)
{
    return (uint64_t)bench->data.rows < CEL_PEER_ROWS ? (uint64_t)bench->data.rows : CEL_PEER_ROWS;
}

static double peer_ns(struct bench *bench)
{
    uint64_t digest = 0;
    double ns =
        run_peer("eval", bench->now->columns, bench->now->expression, bench->rows_path, &digest);

    if (digest != expected_digest(bench, peer_rows(bench))) {
        bench_die("%s: cel-cpp gives other results", bench->now->id);
    }
    return ns;
}

/* A line whose peer was timed alone: its rows take 1,000 times as long. */
static void emit_peer(const char *id, uint64_t rows, double ours, double peer, double goal,
                      double rss_mb)
{
    bench_emit(&(struct bench_line){id, rows, ours, peer, "cel-expr-python", "ns", peer / ours,
                                    rss_mb, goal, NULL});
}

/* ---- cases
 * ------------------------------------------------------------------------------------------- */

static bool wanted(const char *id, const char *peer, char full[64])
{
    (void)snprintf(full, 64, "%s/%s", id, peer);
    return bench_wanted(full);
}

static void batch_case(struct bench *bench, const struct cel_case *now)
{
    char id[64];
    struct bench_pair pair;
    double keys = (double)bench->data.rows * PASSES;
    uint64_t rows = (uint64_t)bench->data.rows;

    bench->now = now;
    if (!wanted(now->id, "c", id) && !wanted(now->id, "cel-cpp", id)) {
        return;
    }
    bench_note("%s", now->id);
    open_router(bench);
    check_ids(bench);
    bench_compare(run_ours, run_hand, bench, BENCH_REPS_SHORT, &pair);
    if (wanted(now->id, "c", id)) {
        bench_emit_ns(id, rows, rows * PASSES, &pair, "hand-written C", now->goal_c, NULL);
    }
    if (wanted(now->id, "cel-cpp", id) && peer_python() != NULL) {
        emit_peer(id, rows, pair.ours_s * 1e9 / keys, peer_ns(bench), now->goal_cpp, pair.rss_mb);
    }
    shardy_router_free(bench->router);
    bench->router = NULL;
}

static shardy_cel_value text_value(const struct cel_texts *texts, int64_t row)
{
    return shardy_cel_string(texts->data + texts->offsets[row],
                             (size_t)(texts->offsets[row + 1] - texts->offsets[row]));
}

/* Nanoseconds for one row at a time; the digest is checked against the peer's. */
static double scalar_ns(struct bench *bench, shardy_cel *cel, uint64_t rows, uint64_t *digest)
{
    shardy_cel_result result = SHARDY_CEL_RESULT_INIT;
    shardy_error err = SHARDY_ERROR_INIT;
    bool is_text = bench->now->num_dbs == 0;
    double begun = bench_now();

    /* A context is made once and filled in for each row, as a program would do it. */
    shardy_context_entry key = {"key", shardy_cel_int(0)};
    shardy_context_entry texts[2] = {{"tenant", shardy_cel_string("", 0)},
                                     {"tier", shardy_cel_int(0)}};
    shardy_context context = {is_text ? texts : &key, is_text ? 2 : 1};

    *digest = 0;
    for (uint64_t row = 0; row < rows; row++) {
        int64_t at = (int64_t)row;

        if (is_text) {
            texts[0].value = text_value(&bench->data.tenant, at);
            texts[1].value.integer = bench->data.tier[at];
        } else {
            key.value.integer = bench->data.key[at];
        }
        if (shardy_cel_evaluate(cel, &context, &result, &err) != SHARDY_OK) {
            bench_die("%s", err.message);
        }
        *digest +=
            (is_text ? XXH3_64bits(result.value.text, result.value.size) : result.value.natural) *
            (row + 1);
    }
    double ns = (bench_now() - begun) * 1e9 / (double)rows;
    shardy_cel_result_clear(&result);
    return ns;
}

static void scalar_case(struct bench *bench, const char *id, const struct cel_case *now,
                        double goal)
{
    uint64_t ours_digest = 0;
    uint64_t peer_digest = 0;
    uint64_t rows = peer_rows(bench);
    double samples[BENCH_REPS_SHORT];

    if (!bench_wanted(id) || peer_python() == NULL) {
        return;
    }
    bench_note("%s", id);
    bench->now = now;
    shardy_cel *cel = compile(now->expression, now->columns);
    for (int i = 0; i < BENCH_REPS_SHORT; i++) {
        samples[i] = scalar_ns(bench, cel, rows, &ours_digest);
    }
    double peer = run_peer("eval", now->columns, now->expression, bench->rows_path, &peer_digest);
    if (ours_digest != peer_digest) {
        bench_die("%s: cel-cpp gives other results", id);
    }
    emit_peer(id, rows, bench_median(samples, BENCH_REPS_SHORT), peer, goal, 0);
    shardy_cel_free(cel);
}

static void compile_case(void)
{
    static const char columns[] = "tenant:string,tier:int,region:string,score:double";
    const char *id = "cel/compile/cel-cpp";
    uint64_t digest = 0;
    double samples[BENCH_REPS_SHORT];
    int times = 2000;

    if (!bench_wanted(id) || peer_python() == NULL) {
        return;
    }
    bench_note("%s", id);
    for (int i = 0; i < BENCH_REPS_SHORT; i++) {
        double begun = bench_now();

        for (int k = 0; k < times; k++) {
            shardy_cel_free(compile(long_expression, columns));
        }
        samples[i] = (bench_now() - begun) * 1e9 / times;
    }
    double peer = run_peer("compile", columns, long_expression, "100", &digest);
    emit_peer(id, (uint64_t)times, bench_median(samples, BENCH_REPS_SHORT), peer, 20, 0);
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    char folder[BENCH_PATH_MAX];

    bench_start(argc, argv);
    cel_data_make(&bench.data, (int64_t)bench_size(1000000, 250000));
    cel_hand_prepare();
    bench_dir_memory(folder, 8u << 20);
    bench_path(bench.rows_path, folder, "rows.jsonl");
    cel_data_write(&bench.data, (int64_t)peer_rows(&bench), bench.rows_path);
    bench.ids = bench_alloc((size_t)bench.data.rows, sizeof *bench.ids);
    cel_data_batch(&bench.data, &bench.schema, &bench.array);
    if (peer_python() == NULL) {
        (void)printf("{\"left_out\":\"*/cel-cpp: no Python with cel-expr-python and xxhash\"}\n");
    }
    for (size_t i = 0; i < sizeof cel_cases / sizeof cel_cases[0]; i++) {
        batch_case(&bench, &cel_cases[i]);
    }
    scalar_case(&bench, "cel/scalar/cel-cpp", &cel_cases[CEL_INT_HASH], 60);
    scalar_case(&bench, "cel/scalar-categorical/cel-cpp", &cel_cases[CEL_CATEGORICAL], 25);
    compile_case();
    bench.schema.release(&bench.schema);
    bench.array.release(&bench.array);
    free(bench.ids);
    cel_data_clear(&bench.data);
    return 0;
}
