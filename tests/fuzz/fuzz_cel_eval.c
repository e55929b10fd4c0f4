/*
 * fuzz_cel_eval.c - any source over random rows of the columns of cel_rows.h.
 *
 * The first byte chooses the rows, the second the mode (unchecked, no macros); the rest is source.
 *
 * Invariant: blocks, single rows and single rows without folding and kernels give the same results,
 * unless one of them ran over its limits. A checked program never lacks an overload unless a dyn is
 * in it, which is not looked for here.
 */
#include "../unit/cel_rows.h"

#include <stdlib.h>

#define ROWS 5u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cel_rows rows;

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static bool is_over(struct sfi_cel_value value)
{
    return value.kind == SFI_CEL_ERROR && value.error->code == SFI_CEL_OVER_LIMIT;
}

static bool is_missing(struct sfi_cel_value value)
{
    return value.kind == SFI_CEL_ERROR && value.error->code == SFI_CEL_MISSING;
}

/* The text of a missing variable's error is its maker's. */
static void compare(struct sfi_cel_value a, struct sfi_cel_value b)
{
    require(is_over(a) || is_over(b) || (is_missing(a) && is_missing(b)) || cel_rows_same(a, b));
}

static void run_all(const struct sfi_cel_env *env, const char *source, size_t size, unsigned flags)
{
    struct sfi_cel_program *made[2] = {NULL, NULL};
    struct sfi_cel_run *runs[3] = {NULL, NULL, NULL};
    struct sfi_cel_block block;
    shardy_error err = SHARDY_ERROR_INIT;
    if (sfi_cel_program_new(env, source, size, flags, &made[0], &err) != SHARDY_OK) {
        require(err.message[0] != '\0');
        return;
    }
    require(sfi_cel_program_new(env, source, size, flags | SFI_CEL_PROGRAM_PLAIN, &made[1], &err) ==
            SHARDY_OK);
    require(sfi_cel_run_new(made[0], ROWS, &runs[0], &err) == SHARDY_OK &&
            sfi_cel_run_new(made[0], 1, &runs[1], &err) == SHARDY_OK &&
            sfi_cel_run_new(made[1], 1, &runs[2], &err) == SHARDY_OK);
    for (size_t row = 0, begun = 0, end = 0; row < ROWS; row++) {
        if (row == end) {
            size_t count = ROWS - row;
            require(sfi_cel_run_block(runs[0], rows.columns, row, &count, &block, &err) ==
                    SHARDY_OK);
            begun = row;
            end = row + count;
        }
        struct sfi_cel_value alone = sfi_cel_run_row(runs[1], rows.cells[row]);
        compare(sfi_cel_block_value(&block, row - begun), alone);
        compare(sfi_cel_run_row(runs[2], rows.cells[row]), alone);
        if (sfi_cel_is_error(alone)) {
            require(sfi_cel_report(made[0], alone.error, &err) != SHARDY_OK);
        }
    }
    for (size_t i = 0; i < 3; i++) {
        sfi_cel_run_free(runs[i]);
    }
    sfi_cel_program_free(made[0]);
    sfi_cel_program_free(made[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sfi_cel_env env = {.variables = cel_rows_variables, .variable_count = CEL_COL_COUNT};
    if (size < 2) {
        return 0;
    }
    cel_rows_make(&rows, ROWS, data[0]);
    env.unchecked = (data[1] & 1) != 0;
    run_all(&env, (const char *)data + 2, size - 2,
            (data[1] & 2) != 0 ? SFI_CEL_PROGRAM_NO_MACROS : 0);
    return 0;
}
