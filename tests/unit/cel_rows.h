/*
 * cel_rows.h - random rows for CEL programs: each cell as a value, and the same cells as columns in
 * the layouts that record batches have.
 */
#ifndef CEL_ROWS_H
#define CEL_ROWS_H

#include "cel/program.h"
#include "cel_random.h"

#include <stdlib.h>

#define CEL_ROWS_MAX 1024u

enum {
    CEL_COL_I,
    CEL_COL_J,
    CEL_COL_K,
    CEL_COL_U,
    CEL_COL_V,
    CEL_COL_D,
    CEL_COL_F,
    CEL_COL_B,
    CEL_COL_S,
    CEL_COL_T,
    CEL_COL_N,
    CEL_COL_Y,
    CEL_COL_TS,
    CEL_COL_TN,
    CEL_COL_X,
    CEL_COL_ABSENT,
    CEL_COL_COUNT
};

static const struct sfi_cel_variable cel_rows_variables[CEL_COL_COUNT] = {
    {"i", &sfi_cel_type_int},        {"j", &sfi_cel_type_int},        {"k", &sfi_cel_type_int},
    {"u", &sfi_cel_type_uint},       {"v", &sfi_cel_type_uint},       {"d", &sfi_cel_type_double},
    {"f", &sfi_cel_type_double},     {"b", &sfi_cel_type_bool},       {"s", &sfi_cel_type_string},
    {"t", &sfi_cel_type_string},     {"n", &sfi_cel_type_string},     {"y", &sfi_cel_type_bytes},
    {"ts", &sfi_cel_type_timestamp}, {"tn", &sfi_cel_type_timestamp}, {"x", &sfi_cel_type_dyn},
    {"absent", &sfi_cel_type_int},
};

/* Buffers stay where they are: the struct is not copied. */
struct cel_rows {
    size_t count;
    struct sfi_cel_value cells[CEL_ROWS_MAX][CEL_COL_COUNT];
    struct sfi_cel_column columns[CEL_COL_COUNT];
    struct sfi_cel_column words; /* dictionary of n */
    uint8_t validity[CEL_COL_COUNT][CEL_ROWS_MAX / 8 + 1];
    int64_t wide[4][CEL_ROWS_MAX]; /* i, k, ts, tn */
    uint64_t u[CEL_ROWS_MAX];
    int32_t j[CEL_ROWS_MAX];
    int8_t v[CEL_ROWS_MAX];
    double d[CEL_ROWS_MAX];
    float f[CEL_ROWS_MAX];
    uint8_t b[CEL_ROWS_MAX / 8 + 1];
    uint8_t n[CEL_ROWS_MAX];
    struct sfi_cel_value x[CEL_ROWS_MAX];
    int32_t s_offsets[CEL_ROWS_MAX + 1];
    int64_t t_offsets[CEL_ROWS_MAX + 1];
    int32_t y_offsets[CEL_ROWS_MAX + 1];
    char s[CEL_ROWS_MAX * 80];
    char t[CEL_ROWS_MAX * 80];
    char y[CEL_ROWS_MAX * 80];
};

static const char cel_rows_words[] = "euusapaca longer text than sixteen";
static const int32_t cel_rows_word_offsets[] = {0, 2, 4, 8, 8, 34};

static int64_t cel_rows_int(uint64_t *seed)
{
    static const int64_t edges[] = {0,  1,  -1, 2,         7,         64,
                                    10, 99, -7, INT64_MAX, INT64_MIN, INT64_MIN + 1};
    uint64_t r = cel_random_next(seed);
    return r % 3 == 0   ? edges[r / 3 % 12]
           : r % 3 == 1 ? (int64_t)(r >> 58) - 20
                        : (int64_t)cel_random_next(seed);
}

static size_t cel_rows_text(uint64_t *seed, char *out, bool is_bytes)
{
    static const char *const texts[] = {
        "", "eu", "us", "apac", "12", "true", "h\xc3\xa9", "a", "a longer text than sixteen", "x"};
    uint64_t r = cel_random_next(seed);
    size_t size = r % 4 == 0 ? (size_t)(r >> 8) % 70 : strlen(texts[r / 4 % 10]);
    if (r % 4 != 0) {
        memcpy(out, texts[r / 4 % 10], size);
        return size;
    }
    for (size_t i = 0; i < size; i++) {
        uint64_t byte = cel_random_next(seed);
        out[i] = (char)(is_bytes ? byte : 'a' + byte % 26);
    }
    return size;
}

static bool cel_rows_set_null(struct cel_rows *rows, unsigned column, size_t row, uint64_t *seed)
{
    if (cel_random_next(seed) % 12 != 0) {
        rows->validity[column][row >> 3] |= (uint8_t)(1u << (row & 7));
        return false;
    }
    rows->cells[row][column] = sfi_cel_null();
    return true;
}

static void cel_rows_numbers(struct cel_rows *rows, size_t row, uint64_t *seed)
{
    static const double doubles[] = {0, -0.0, 0.5, -1.5, 1e308, -1e308, 3, 9.3e18, 1e-300};
    uint64_t r = cel_random_next(seed);
    rows->wide[0][row] = cel_rows_int(seed);
    rows->j[row] = (int32_t)cel_rows_int(seed);
    rows->wide[1][row] = cel_rows_int(seed); /* as uint64: some are too large for int */
    rows->u[row] = (uint64_t)cel_rows_int(seed);
    rows->v[row] = (int8_t)cel_rows_int(seed);
    rows->d[row] = r % 11 == 0 ? __builtin_inf() : r % 11 == 1 ? __builtin_nan("") : doubles[r % 9];
    rows->f[row] = (float)doubles[r / 16 % 4];
    rows->b[row >> 3] |= (uint8_t)((r >> 20 & 1) << (row & 7));
    struct sfi_cel_value *cells = rows->cells[row];
    cells[CEL_COL_I] = sfi_cel_int(rows->wide[0][row]);
    cells[CEL_COL_J] = sfi_cel_int(rows->j[row]);
    cells[CEL_COL_K] = sfi_cel_uint((uint64_t)rows->wide[1][row]);
    cells[CEL_COL_U] = sfi_cel_uint(rows->u[row]);
    cells[CEL_COL_V] = sfi_cel_int(rows->v[row]);
    cells[CEL_COL_D] = sfi_cel_double(rows->d[row]);
    cells[CEL_COL_F] = sfi_cel_double((double)rows->f[row]);
    cells[CEL_COL_B] = sfi_cel_bool((r >> 20 & 1) != 0);
}

static void cel_rows_texts(struct cel_rows *rows, size_t row, uint64_t *seed)
{
    struct sfi_cel_value *cells = rows->cells[row];
    char *s = rows->s + rows->s_offsets[row];
    char *t = rows->t + rows->t_offsets[row];
    char *y = rows->y + rows->y_offsets[row];
    size_t size = cel_rows_text(seed, s, false);
    rows->s_offsets[row + 1] = rows->s_offsets[row] + (int32_t)size;
    cells[CEL_COL_S] = sfi_cel_string(s, (uint32_t)size);
    size = cel_rows_text(seed, t, false);
    rows->t_offsets[row + 1] = rows->t_offsets[row] + (int64_t)size;
    cells[CEL_COL_T] = sfi_cel_string(t, (uint32_t)size);
    size = cel_rows_text(seed, y, true);
    rows->y_offsets[row + 1] = rows->y_offsets[row] + (int32_t)size;
    cells[CEL_COL_Y] = sfi_cel_bytes(y, (uint32_t)size);
    rows->n[row] = (uint8_t)(cel_random_next(seed) % 5);
    const int32_t *at = cel_rows_word_offsets + rows->n[row];
    cells[CEL_COL_N] = sfi_cel_string(cel_rows_words + at[0], (uint32_t)(at[1] - at[0]));
}

static void cel_rows_others(struct cel_rows *rows, size_t row, uint64_t *seed)
{
    static const int64_t seconds[] = {0,          1711846799,   1711846800,   1729990800, -1,
                                      1700000000, 253402300799, -62135596800, 1735689600};
    struct sfi_cel_value *cells = rows->cells[row];
    uint64_t r = cel_random_next(seed);
    int64_t micros = seconds[r % 9] * 1000000 + (int64_t)(r >> 40 & 0x3FF);
    micros = r >> 60 == 0 ? cel_rows_int(seed) : micros; /* out of range, perhaps */
    int64_t nanos = cel_rows_int(seed);
    int64_t whole = micros / 1000000 - (micros % 1000000 < 0);
    rows->wide[2][row] = micros;
    cells[CEL_COL_TS] = sfi_cel_time(
        SFI_CEL_TIMESTAMP, whole, (int32_t)((uint64_t)micros - (uint64_t)whole * 1000000) * 1000);
    rows->wide[3][row] = nanos;
    whole = nanos / 1000000000 - (nanos % 1000000000 < 0);
    cells[CEL_COL_TN] =
        sfi_cel_time(SFI_CEL_TIMESTAMP, whole,
                     (int32_t)(uint32_t)((uint64_t)nanos - (uint64_t)whole * UINT64_C(1000000000)));
    rows->x[row] = r % 3 == 0   ? sfi_cel_int((int64_t)(r >> 56))
                   : r % 3 == 1 ? cells[CEL_COL_S]
                                : cells[CEL_COL_D];
    rows->x[row] = r % 17 == 0 ? sfi_cel_null() : rows->x[row];
    cells[CEL_COL_X] = rows->x[row];
    cells[CEL_COL_ABSENT] = (struct sfi_cel_value){SFI_CEL_ERROR, 0, {.error = NULL}};
}

static void cel_rows_layouts(struct cel_rows *rows)
{
    const struct sfi_cel_column columns[CEL_COL_COUNT] = {
        [CEL_COL_I] = {.layout = SFI_CEL_LAYOUT_I64, .values = rows->wide[0]},
        [CEL_COL_J] = {.layout = SFI_CEL_LAYOUT_I32, .values = rows->j},
        [CEL_COL_K] = {.layout = SFI_CEL_LAYOUT_U64, .values = rows->wide[1]},
        [CEL_COL_U] = {.layout = SFI_CEL_LAYOUT_U64, .values = rows->u},
        [CEL_COL_V] = {.layout = SFI_CEL_LAYOUT_I8, .values = rows->v},
        [CEL_COL_D] = {.layout = SFI_CEL_LAYOUT_F64, .values = rows->d},
        [CEL_COL_F] = {.layout = SFI_CEL_LAYOUT_F32, .values = rows->f},
        [CEL_COL_B] = {.layout = SFI_CEL_LAYOUT_BITS, .values = rows->b},
        [CEL_COL_S] = {.layout = SFI_CEL_LAYOUT_VAR32,
                       .values = rows->s,
                       .offsets = rows->s_offsets,
                       .is_text = true},
        [CEL_COL_T] = {.layout = SFI_CEL_LAYOUT_VAR64,
                       .values = rows->t,
                       .offsets = rows->t_offsets,
                       .is_text = true},
        [CEL_COL_N] = {.layout = SFI_CEL_LAYOUT_U8, .values = rows->n, .dictionary = &rows->words},
        [CEL_COL_Y] = {.layout = SFI_CEL_LAYOUT_VAR32,
                       .values = rows->y,
                       .offsets = rows->y_offsets},
        [CEL_COL_TS] = {.layout = SFI_CEL_LAYOUT_TICKS64,
                        .values = rows->wide[2],
                        .per_second = 1000000},
        [CEL_COL_TN] = {.layout = SFI_CEL_LAYOUT_TICKS64,
                        .values = rows->wide[3],
                        .per_second = 1000000000},
        [CEL_COL_X] = {.layout = SFI_CEL_LAYOUT_VALUES, .values = rows->x},
        [CEL_COL_ABSENT] = {.layout = SFI_CEL_LAYOUT_MISSING},
    };
    memcpy(rows->columns, columns, sizeof columns);
    rows->words = (struct sfi_cel_column){.layout = SFI_CEL_LAYOUT_VAR32,
                                          .values = cel_rows_words,
                                          .offsets = cel_rows_word_offsets,
                                          .is_text = true};
}

/* New random cells; about every third set has no nulls at all. */
static void cel_rows_make(struct cel_rows *rows, size_t count, uint64_t seed)
{
    static struct sfi_cel_error absent = {SFI_CEL_MISSING, UINT32_MAX, "no value"};
    bool has_nulls = seed % 3 != 0;
    memset(rows, 0, sizeof *rows);
    rows->count = count;
    cel_rows_layouts(rows);
    for (size_t row = 0; row < count; row++) {
        cel_rows_numbers(rows, row, &seed);
        cel_rows_texts(rows, row, &seed);
        cel_rows_others(rows, row, &seed);
        rows->cells[row][CEL_COL_ABSENT].error = &absent;
        for (unsigned column = 0; column < CEL_COL_X && has_nulls; column++) {
            (void)cel_rows_set_null(rows, column, row, &seed);
        }
    }
    for (unsigned column = 0; column < CEL_COL_X && has_nulls; column++) {
        rows->columns[column].validity = rows->validity[column];
    }
}

static inline bool cel_rows_same_double(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b);
}

/* The same result: kind, bits, code and place of an error. */
static inline bool cel_rows_same(struct sfi_cel_value a, struct sfi_cel_value b)
{
    if (a.kind != b.kind) {
        return false;
    }
    switch (a.kind) {
    case SFI_CEL_ERROR:
        return a.error->code == b.error->code && a.error->node == b.error->node &&
               strcmp(a.error->text, b.error->text) == 0;
    case SFI_CEL_DOUBLE:
        return cel_rows_same_double(a.f64, b.f64);
    case SFI_CEL_STRING:
    case SFI_CEL_BYTES:
        return a.size == b.size && (a.size == 0 || memcmp(a.text, b.text, a.size) == 0);
    case SFI_CEL_LIST:
        for (uint32_t i = 0; i < a.list->count; i++) {
            if (i >= b.list->count || !cel_rows_same(a.list->items[i], b.list->items[i])) {
                return false;
            }
        }
        return a.list->count == b.list->count;
    case SFI_CEL_MAP:
        for (uint32_t i = 0; i < a.map->count && i < b.map->count; i++) {
            if (!cel_rows_same(a.map->entries[i].key, b.map->entries[i].key) ||
                !cel_rows_same(a.map->entries[i].value, b.map->entries[i].value)) {
                return false;
            }
        }
        return a.map->count == b.map->count;
    case SFI_CEL_OPTIONAL:
        return a.optional == NULL || b.optional == NULL ? a.optional == b.optional
                                                        : cel_rows_same(*a.optional, *b.optional);
    default:
        return sfi_cel_equal(a, b);
    }
}

#endif
