/*
 * cel.c - the public calls of expressions: compile, describe, evaluate a row or a batch.
 *
 * A compiled expression is shared by all threads; what changes while it is evaluated is a run. Runs
 * wait in slots, one cache line each: a thread takes one by an exchange, beginning at the slot of
 * its processor, so that a warm call takes no lock and allocates nothing. Arrow columns are
 * cel_columns.c, results cel_export.c, the cache of compilations cel_cache.c.
 */
#include "cel/cel.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/options.h"

#include <inttypes.h>
#include <sched.h>

/* --- compiling -------------------------------------------------------------------------------- */

struct column_type {
    const char *name;
    const struct sfi_cel_type *type;
    bool is_extension; /* the original does not have it */
};

static const struct column_type s_types[] = {
    {"bool", &sfi_cel_type_bool, false},     {"bytes", &sfi_cel_type_bytes, false},
    {"double", &sfi_cel_type_double, false}, {"duration", &sfi_cel_type_duration, true},
    {"dyn", &sfi_cel_type_dyn, true},        {"int", &sfi_cel_type_int, false},
    {"string", &sfi_cel_type_string, false}, {"timestamp", &sfi_cel_type_timestamp, true},
    {"uint", &sfi_cel_type_uint, false},
};

static const struct column_type *find_type(const char *name)
{
    for (size_t i = 0; name != NULL && i < sizeof s_types / sizeof s_types[0]; i++) {
        if (strcmp(s_types[i].name, name) == 0) {
            return &s_types[i];
        }
    }
    return NULL;
}

static shardy_status copy_column(shardy_cel *cel, size_t index, const shardy_cel_column *from,
                                 shardy_error *err)
{
    if (from->name == NULL || from->name[0] == '\0') {
        return sfi_fail(err, SHARDY_CONFIG, "CEL column %zu has no name", index);
    }
    for (size_t i = 0; i < index; i++) {
        if (strcmp(cel->columns[i].name, from->name) == 0) {
            return sfi_fail(err, SHARDY_CONFIG, "CEL column '%.200s' is declared twice",
                            from->name);
        }
    }
    const struct column_type *type = find_type(from->type);
    if (type == NULL) {
        return sfi_fail(err, SHARDY_CONFIG,
                        "Unsupported CEL column type: '%.60s' for column '%.200s'. Allowed: bool, "
                        "bytes, double, duration, dyn, int, string, timestamp, uint",
                        from->type == NULL ? "" : from->type, from->name);
    }
    cel->types[index] = type->type;
    cel->is_portable = cel->is_portable && !type->is_extension;
    cel->columns[index].type = type->name;
    cel->columns[index].name = sfi_strdup(from->name);
    return cel->columns[index].name != NULL ? SHARDY_OK : sfi_fail_memory(err, strlen(from->name));
}

static shardy_status copy_columns(shardy_cel *cel, const shardy_cel_options *options,
                                  shardy_error *err)
{
    size_t count = options->column_count;
    if (count > SFI_CEL_COLUMNS_MAX || (count > 0 && options->columns == NULL)) {
        return sfi_fail(err, SHARDY_CONFIG, "%zu CEL columns: at most %u, and not NULL", count,
                        SFI_CEL_COLUMNS_MAX);
    }
    cel->columns = sfi_calloc(count, sizeof *cel->columns);
    cel->types = sfi_calloc(count, sizeof(void *));
    cel->read = sfi_calloc(count, sizeof *cel->read);
    if (cel->columns == NULL || cel->types == NULL || cel->read == NULL) {
        return sfi_fail_memory(err, count * sizeof *cel->columns);
    }
    for (size_t i = 0; i < count; i++) {
        cel->column_count = i + 1;
        SFI_RETURN_IF_ERR(copy_column(cel, i, &options->columns[i], err));
    }
    return SHARDY_OK;
}

static shardy_status compile(shardy_cel *cel, const shardy_cel_options *options, shardy_error *err)
{
    cel->is_portable = options->container == NULL || options->container[0] == '\0';
    SFI_RETURN_IF_ERR(copy_columns(cel, options, err));
    cel->expression = sfi_strdup(options->expression);
    struct sfi_cel_variable *variables = sfi_array_alloc(cel->column_count, sizeof *variables);
    if (cel->expression == NULL || variables == NULL) {
        sfi_free(variables);
        return sfi_fail_memory(err, cel->column_count * sizeof *variables);
    }
    for (size_t i = 0; i < cel->column_count; i++) {
        variables[i] = (struct sfi_cel_variable){cel->columns[i].name, cel->types[i]};
    }
    const struct sfi_cel_env env = {
        .variables = variables,
        .variable_count = cel->column_count,
        .container = options->container,
    };
    shardy_status st =
        sfi_cel_program_new(&env, cel->expression, strlen(cel->expression), 0, &cel->program, err);
    sfi_free(variables);
    if (st != SHARDY_OK) {
        return st;
    }
    for (size_t i = 0; i < cel->column_count; i++) {
        if (sfi_cel_program_reads(cel->program, i)) {
            cel->read[cel->read_count++] = i;
        }
    }
    cel->is_portable = cel->is_portable && sfi_cel_program_is_portable(cel->program);
    sfi_cel_type_text(sfi_cel_program_type(cel->program), cel->result_type);
    return SHARDY_OK;
}

shardy_status shardy_cel_compile(const shardy_cel_options *options, shardy_cel **cel,
                                 shardy_error *err)
{
    shardy_cel_options known;
    *cel = NULL;
    SFI_RETURN_IF_ERR(sfi_options_take(options, offsetof(shardy_cel_options, container), &known,
                                       sizeof known, "SHARDY_CEL_OPTIONS_INIT", err));
    if (known.expression == NULL || known.expression[0] == '\0') {
        return sfi_fail(err, SHARDY_CONFIG, "the CEL expression is empty");
    }
    shardy_cel *made = sfi_calloc(1, sizeof *made);
    if (made == NULL) {
        return sfi_fail_memory(err, sizeof *made);
    }
    atomic_init(&made->refs, 1);
    shardy_status st = compile(made, &known, err);
    if (st != SHARDY_OK) {
        shardy_cel_free(made);
        return st;
    }
    *cel = made;
    return SHARDY_OK;
}

static void free_worker(struct sfi_cel_worker *worker)
{
    if (worker != NULL) {
        sfi_cel_run_free(worker->run);
        sfi_free(worker->variables);
        sfi_free(worker->errors);
        sfi_free(worker->texts);
        sfi_free(worker);
    }
}

shardy_cel *sfi_cel_acquire(shardy_cel *cel)
{
    atomic_fetch_add_explicit(&cel->refs, 1, memory_order_relaxed);
    return cel;
}

void shardy_cel_free(shardy_cel *cel)
{
    if (cel == NULL || atomic_fetch_sub_explicit(&cel->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < SFI_CEL_POOL; i++) {
        free_worker(atomic_load(&cel->rows[i].worker));
        free_worker(atomic_load(&cel->blocks[i].worker));
    }
    sfi_cel_program_free(cel->program);
    for (size_t i = 0; cel->columns != NULL && i < cel->column_count; i++) {
        sfi_free((void *)(uintptr_t)cel->columns[i].name);
    }
    sfi_free(cel->columns);
    sfi_free((void *)cel->types);
    sfi_free(cel->read);
    sfi_free(cel->expression);
    sfi_free(cel);
}

/* --- describing ------------------------------------------------------------------------------- */

const char *shardy_cel_result_type(const shardy_cel *cel)
{
    return cel->result_type;
}

size_t shardy_cel_column_count(const shardy_cel *cel)
{
    return cel->column_count;
}

const shardy_cel_column *shardy_cel_get_column(const shardy_cel *cel, size_t index)
{
    return index < cel->column_count ? &cel->columns[index] : NULL;
}

bool shardy_cel_reads_column(const shardy_cel *cel, size_t index)
{
    return index < cel->column_count && sfi_cel_program_reads(cel->program, index);
}

bool shardy_cel_is_portable(const shardy_cel *cel)
{
    return cel->is_portable;
}

/* --- the pool --------------------------------------------------------------------------------- */

static unsigned first_slot(void)
{
    int cpu = sched_getcpu();
    return cpu < 0 ? 0 : (unsigned)cpu % SFI_CEL_POOL;
}

static shardy_status new_worker(const shardy_cel *cel, size_t rows, struct sfi_cel_worker **out,
                                shardy_error *err)
{
    struct sfi_cel_worker *worker = sfi_calloc(1, sizeof *worker);
    shardy_status st = worker != NULL ? SHARDY_OK : sfi_fail_memory(err, sizeof *worker);
    *out = NULL;
    if (st == SHARDY_OK && rows == 1) {
        worker->variables = sfi_calloc(cel->column_count, sizeof *worker->variables);
        worker->errors = sfi_calloc(cel->column_count, sizeof *worker->errors);
        worker->texts = sfi_calloc(cel->column_count, sizeof *worker->texts);
        if (worker->variables == NULL || worker->errors == NULL || worker->texts == NULL) {
            st = sfi_fail_memory(err, cel->column_count * sizeof *worker->texts);
        }
    }
    if (st == SHARDY_OK) {
        st = sfi_cel_run_new(cel->program, rows, &worker->run, err);
    }
    if (st != SHARDY_OK) {
        free_worker(worker);
        return st;
    }
    *out = worker;
    return SHARDY_OK;
}

/* A slot for a new worker; NULL: all are claimed. */
static struct sfi_cel_slot *claim(struct sfi_cel_slot *slots, unsigned at)
{
    for (unsigned i = 0; i < SFI_CEL_POOL; i++) {
        struct sfi_cel_slot *slot = &slots[(at + i) % SFI_CEL_POOL];
        if (!atomic_exchange_explicit(&slot->claimed, true, memory_order_relaxed)) {
            return slot;
        }
    }
    return NULL;
}

shardy_status sfi_cel_take(shardy_cel *cel, bool blocks, struct sfi_cel_worker **worker,
                           shardy_error *err)
{
    struct sfi_cel_slot *slots = blocks ? cel->blocks : cel->rows;
    unsigned at = first_slot();
    for (unsigned i = 0; i < SFI_CEL_POOL; i++) {
        struct sfi_cel_slot *slot = &slots[(at + i) % SFI_CEL_POOL];
        if (atomic_load_explicit(&slot->worker, memory_order_relaxed) != NULL) {
            *worker = atomic_exchange_explicit(&slot->worker, NULL, memory_order_acquire);
            if (*worker != NULL) {
                return SHARDY_OK;
            }
        }
    }
    SFI_RETURN_IF_ERR(new_worker(cel, blocks ? SFI_CEL_BLOCK_ROWS : 1, worker, err));
    (*worker)->home = claim(slots, at);
    return SHARDY_OK;
}

void sfi_cel_give(struct sfi_cel_worker *worker)
{
    if (worker->home != NULL) {
        atomic_store_explicit(&worker->home->worker, worker, memory_order_release);
    } else {
        free_worker(worker);
    }
}

/* --- batches ---------------------------------------------------------------------------------- */

static shardy_status fail_row(const shardy_cel *cel, const struct sfi_cel_block *block,
                              size_t count, uint64_t row, shardy_error *err)
{
    size_t i = 0;
    while (i + 1 < count && block->errors[i] == NULL) {
        i++;
    }
    shardy_status st = sfi_cel_report(cel->program, block->errors[i], err);
    sfi_error_prefix(err, "row %" PRIu64 ": ", row + i);
    return st;
}

static bool has_errors(const struct sfi_cel_block *block, size_t count)
{
    for (size_t i = 0; block->errors != NULL && i < count; i++) {
        if (block->errors[i] != NULL) {
            return true;
        }
    }
    return false;
}

static shardy_status evaluate_blocks(const shardy_cel *cel, struct sfi_cel_run *run,
                                     const struct sfi_cel_batch *batch, uint64_t row_base,
                                     struct sfi_cel_export *out, shardy_error *err)
{
    size_t count;
    for (size_t first = 0; first < batch->length; first += count) {
        struct sfi_cel_block block;
        size_t left = batch->length - first;
        count = left < SFI_CEL_BLOCK_ROWS ? left : SFI_CEL_BLOCK_ROWS;
        SFI_RETURN_IF_ERR(sfi_cel_run_block(run, batch->columns, first, &count, &block, err));
        if (has_errors(&block, count)) {
            return fail_row(cel, &block, count, row_base + first, err);
        }
        SFI_RETURN_IF_ERR(sfi_cel_export_block(out, &block, count, row_base + first, err));
    }
    return SHARDY_OK;
}

shardy_status shardy_cel_evaluate_batch(const shardy_cel *cel, const struct ArrowSchema *schema,
                                        const struct ArrowArray *array, uint64_t row_base,
                                        struct ArrowSchema *out_schema, struct ArrowArray *out,
                                        shardy_error *err)
{
    shardy_cel *shared = (shardy_cel *)(uintptr_t)cel; /* its pool is made for sharing */
    struct sfi_cel_batch batch = {0};
    struct sfi_cel_worker *worker = NULL;
    struct sfi_cel_export *results = NULL;
    shardy_status st;
    SFI_TRY(sfi_cel_batch_open(cel, schema, array, NULL, row_base, &batch, err));
    SFI_TRY(sfi_cel_export_new(sfi_cel_program_type(cel->program), batch.length, &results, err));
    SFI_TRY(sfi_cel_take(shared, true, &worker, err));
    SFI_TRY(evaluate_blocks(cel, worker->run, &batch, row_base, results, err));
    st = sfi_cel_export_finish(results, out_schema, out, err);
    results = NULL;
out:
    if (worker != NULL) {
        sfi_cel_give(worker);
    }
    sfi_cel_export_free(results);
    sfi_cel_batch_clear(&batch);
    return st;
}
