/*
 * test_cel_batch.c - one expression, three ways: over blocks of columns, row by row, and row by row
 * without folding and kernels. Random programs over random rows must give the same three times, and
 * what the checker accepts never lacks an overload unless dyn is in it.
 *
 * CEL_PROGRAMS and CEL_SEED in the environment change how many and which.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/memory.h"
#include "cel_rows.h"

static struct cel_rows rows;

struct program {
    struct sfi_cel_program *made;
    struct sfi_cel_run *run;
};

static bool open_program(struct program *program, const char *source, unsigned flags, size_t size)
{
    const struct sfi_cel_env env = {.variables = cel_rows_variables,
                                    .variable_count = CEL_COL_COUNT};
    shardy_error err = SHARDY_ERROR_INIT;
    program->run = NULL;
    if (sfi_cel_program_new(&env, source, strlen(source), flags, &program->made, &err) !=
        SHARDY_OK) {
        /*
         * Constant operands ("1 / 0") are no compile errors, wrong types would be. An empty list
         * has elements of no type until a use of them decides, perhaps otherwise than was meant
         * here.
         */
        if (strstr(source, "[]") == NULL) {
            fail_msg("%s\n%s", err.message, source);
        }
        return false;
    }
    assert_int_equal(sfi_cel_run_new(program->made, size, &program->run, &err), SHARDY_OK);
    return true;
}

static void close_program(struct program *program)
{
    sfi_cel_run_free(program->run);
    sfi_cel_program_free(program->made);
}

static void fail_row(const struct cel_random *random, uint64_t seed, size_t row, const char *what,
                     struct sfi_cel_value a, struct sfi_cel_value b)
{
    char left[200];
    char right[200];
    sfi_cel_value_text(a, left, sizeof left);
    sfi_cel_value_text(b, right, sizeof right);
    fail_msg("seed %llu, row %zu: %s %s%s (node %d), by row %s%s (node %d)\n%s",
             (unsigned long long)seed, row, what, left, sfi_cel_is_error(a) ? a.error->text : "",
             sfi_cel_is_error(a) ? (int)a.error->node : -1, right,
             sfi_cel_is_error(b) ? b.error->text : "",
             sfi_cel_is_error(b) ? (int)b.error->node : -1, random->text);
}

/* One program over all rows. */
static void check_program(const struct cel_random *random, uint64_t seed)
{
    struct program batch;
    struct program single;
    struct program plain;
    shardy_error err = SHARDY_ERROR_INIT;
    struct sfi_cel_block block;
    if (!open_program(&batch, random->text, 0, SFI_CEL_BLOCK_ROWS)) {
        return;
    }
    assert_true(open_program(&single, random->text, 0, 1));
    assert_true(open_program(&plain, random->text, SFI_CEL_PROGRAM_PLAIN, 1));
    size_t first = seed % 5 < rows.count ? seed % 5 : 0;
    size_t end = first; /* of the block */
    size_t begun = first;
    for (size_t row = first; row < rows.count; row++) {
        if (row == end) {
            size_t count = rows.count - row;
            begun = row;
            assert_int_equal(sfi_cel_run_block(batch.run, rows.columns, row, &count, &block, &err),
                             SHARDY_OK);
            assert_in_range(count, 1, rows.count - row);
            end = row + count;
        }
        struct sfi_cel_value in_block = sfi_cel_block_value(&block, row - begun);
        struct sfi_cel_value alone = sfi_cel_run_row(single.run, rows.cells[row]);
        struct sfi_cel_value by_hand = sfi_cel_run_row(plain.run, rows.cells[row]);
        if (!cel_rows_same(by_hand, alone)) {
            fail_row(random, seed, row, "plain", by_hand, alone);
        }
        /* The text of a missing variable's error is its maker's. */
        if (!cel_rows_same(in_block, alone) &&
            !(in_block.kind == SFI_CEL_ERROR && in_block.error->code == SFI_CEL_MISSING &&
              alone.kind == SFI_CEL_ERROR && alone.error->code == SFI_CEL_MISSING)) {
            fail_row(random, seed, row, "batch", in_block, alone);
        }
        if (alone.kind == SFI_CEL_ERROR && alone.error->code == SFI_CEL_NO_OVERLOAD &&
            !random->has_dyn) {
            fail_row(random, seed, row, "no overload", in_block, alone);
        }
    }
    close_program(&batch);
    close_program(&single);
    close_program(&plain);
}

static void three_ways_agree(void **state)
{
    const char *count_text = getenv("CEL_PROGRAMS");
    const char *seed_text = getenv("CEL_SEED");
    uint64_t count = count_text != NULL ? strtoull(count_text, NULL, 10) : 20000;
    uint64_t seed = seed_text != NULL ? strtoull(seed_text, NULL, 10) : 1;
    static struct cel_random random;
    (void)state;
    for (uint64_t i = 0; i < count; i++, seed++) {
        if (i % 50 == 0 || seed_text != NULL) {
            size_t size = i % 1000 == 0 ? CEL_ROWS_MAX : 20 + (size_t)(seed / 50 % 15);
            cel_rows_make(&rows, size, seed / 50);
        }
        cel_random_make(&random, seed);
        check_program(&random, seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_ways_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
