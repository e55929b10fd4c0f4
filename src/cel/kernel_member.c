/*
 * kernel_member.c - `x in [constants]` for ints, uints and texts: one probe of a hash table whose
 * multiplier was chosen so that no two elements meet. Texts of up to 16 bytes are two words, read
 * without a look at their length where the column's buffer goes on behind them.
 */
#include "cel/kernel.h"

#define SHORT_MAX   16u
#define MEMBERS_MAX 4096u
#define TRIES       64u

struct member {
    uint64_t words[2]; /* of longer texts: digest, 0 */
    uint64_t size;     /* UINT64_MAX: empty slot */
    const uint8_t *text;
};

struct sfi_cel_member_table {
    uint64_t multiplier;
    unsigned shift;
    bool is_text;
    bool has_long;
    struct member *slots;
};

static inline uint64_t slot_of(const struct sfi_cel_member_table *table, uint64_t a, uint64_t b,
                               uint64_t size)
{
    uint64_t mixed = (a ^ (b << 29 | b >> 35)) + size;
    return (mixed ^ mixed >> 32) * table->multiplier >> table->shift;
}

static struct member member_of(struct sfi_cel_value value)
{
    struct member member = {.size = 0};
    if (value.kind != SFI_CEL_STRING && value.kind != SFI_CEL_BYTES) {
        member.words[0] = value.u64;
        return member;
    }
    struct sfi_bytes text = {(const uint8_t *)value.text, value.size};
    member.size = text.size;
    member.text = text.data;
    if (text.size <= SHORT_MAX) {
        sfi_cel_words(text, member.words);
    } else {
        member.words[0] = sfi_digest_bytes(text.data, text.size);
    }
    return member;
}

static bool same(const struct member *a, const struct member *b)
{
    return a->words[0] == b->words[0] && a->words[1] == b->words[1] && a->size == b->size &&
           (a->size <= SHORT_MAX || memcmp(a->text, b->text, a->size) == 0);
}

/* Put all elements into their slots; false: two different ones meet. */
static bool place(struct sfi_cel_member_table *table, const struct sfi_cel_value *items,
                  size_t count)
{
    size_t slots = (size_t)1 << (64 - table->shift);
    for (size_t i = 0; i < slots; i++) {
        table->slots[i] = (struct member){.size = UINT64_MAX};
    }
    for (size_t i = 0; i < count; i++) {
        struct member member = member_of(items[i]);
        struct member *slot =
            &table->slots[slot_of(table, member.words[0], member.words[1], member.size)];
        if (slot->size != UINT64_MAX && !same(slot, &member)) {
            return false;
        }
        *slot = member;
        table->has_long = table->has_long || member.size > SHORT_MAX;
    }
    return true;
}

static const struct sfi_cel_member_table *make_table(struct sfi_cel_arena *arena,
                                                     const struct sfi_cel_value *items,
                                                     size_t count, bool is_text)
{
    struct sfi_cel_member_table *table = sfi_cel_alloc(arena, sizeof *table);
    unsigned bits = 2;
    uint64_t seed = 0x9E3779B97F4A7C15u;
    while ((size_t)1 << bits < 2 * count) {
        bits++;
    }
    /* A single probe needs room: the chance that no two meet grows with it. */
    for (unsigned limit = bits + 5; table != NULL && bits <= limit; bits++) {
        *table = (struct sfi_cel_member_table){.shift = 64 - bits, .is_text = is_text};
        table->slots = sfi_cel_alloc_array(arena, (size_t)1 << bits, sizeof *table->slots);
        if (table->slots == NULL) {
            return NULL;
        }
        for (unsigned i = 0; i < TRIES; i++) {
            seed = seed * 0xD1342543DE82EF95u + 0x632BE59BD9B4E019u;
            table->multiplier = seed | 1;
            if (place(table, items, count)) {
                return table;
            }
        }
    }
    return NULL;
}

const struct sfi_cel_member_table *sfi_cel_member_table_new(struct sfi_cel_arena *arena,
                                                            const struct sfi_cel_list *list,
                                                            enum sfi_cel_rep rep)
{
    enum sfi_cel_kind kind = rep == SFI_CEL_REP_INT    ? SFI_CEL_INT
                             : rep == SFI_CEL_REP_UINT ? SFI_CEL_UINT
                                                       : SFI_CEL_STRING;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i].kind != kind) {
            return NULL;
        }
    }
    return list->count > MEMBERS_MAX
               ? NULL
               : make_table(arena, list->items, list->count, rep == SFI_CEL_REP_TEXT);
}

static bool find_long(const struct sfi_cel_member_table *table, struct sfi_bytes text)
{
    struct member member = {.size = text.size, .text = text.data};
    member.words[0] = sfi_digest_bytes(text.data, text.size);
    return same(&table->slots[slot_of(table, member.words[0], 0, member.size)], &member);
}

static inline uint8_t find_words(const struct sfi_cel_member_table *table, const uint64_t words[2],
                                 uint64_t size)
{
    const struct member *slot = &table->slots[slot_of(table, words[0], words[1], size)];
    return (uint8_t)(((slot->words[0] ^ words[0]) | (slot->words[1] ^ words[1]) |
                      (slot->size ^ size)) == 0);
}

static inline uint8_t find_text(const struct sfi_cel_member_table *table, struct sfi_bytes text,
                                const uint8_t *end)
{
    uint64_t words[2];
    if (__builtin_expect(text.size > SHORT_MAX, 0)) {
        return table->has_long && find_long(table, text);
    }
    if (__builtin_expect(end - text.data >= (ptrdiff_t)SHORT_MAX, 1)) {
        sfi_cel_words_blind(text, words);
    } else {
        sfi_cel_words(text, words);
    }
    return find_words(table, words, text.size);
}

/* Rows of a column, its buffers known: the loop that matters. */
static void find_column(const struct sfi_cel_member_table *table, const struct sfi_cel_texts *texts,
                        uint32_t count, uint8_t *out, uint8_t flip)
{
    const int32_t *offsets = texts->offsets;
    const uint8_t *base = texts->base;
    for (uint32_t i = 0; i < count; i++) {
        struct sfi_bytes text = {base + offsets[i], (size_t)(offsets[i + 1] - offsets[i])};
        out[i] = find_text(table, text, texts->end) ^ flip;
    }
}

static void find_texts(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel,
                       uint8_t flip)
{
    const struct sfi_cel_member_table *table = op->call.members;
    struct sfi_cel_texts texts = sfi_cel_texts_of(run, op->args[0]);
    uint8_t *out = sfi_cel_vec_of(run, op)->own;
    size_t bytes = 0;
    if (sel.rows == NULL && texts.views == NULL) {
        find_column(table, &texts, sel.count, out, flip);
        bytes = (size_t)(texts.offsets[sel.count] - texts.offsets[0]);
    } else {
        for (uint32_t k = 0; k < sel.count; k++) {
            uint32_t row = sfi_cel_row_at(sel, k);
            struct sfi_bytes text = sfi_cel_text_at(&texts, row);
            out[row] = find_text(table, text, text.data + text.size) ^ flip;
            bytes += text.size;
        }
    }
    (void)sfi_cel_charge_rows(run, op, table->has_long ? bytes : 0);
}

static inline uint8_t find_number(const struct sfi_cel_member_table *table, uint64_t x)
{
    uint64_t words[2] = {x, 0};
    return find_words(table, words, 0);
}

static void eval_member(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                        struct sfi_cel_sel sel, uint8_t flip)
{
    const struct sfi_cel_member_table *table = op->call.members;
    sfi_cel_vec_of(run, op)->errors = NULL;
    sfi_cel_eval_op(run, op->args[0], sel);
    if (!sfi_cel_merge_errors(run, op, 1, &sel)) {
        return;
    }
    if (table->is_text) {
        find_texts(run, op, sel, flip);
    } else {
        SFI_CEL_KERNEL_1(run, op, sel, uint64_t, uint8_t, find_number(table, x));
    }
}

static void eval_in(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel)
{
    eval_member(run, op, sel, 0);
}

static void eval_not_in(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                        struct sfi_cel_sel sel)
{
    eval_member(run, op, sel, 1);
}

/* `text == constant` is membership in a list of one. */
static sfi_cel_eval choose_equal(struct sfi_cel_lowering *low, struct sfi_cel_op *op, bool differs)
{
    uint32_t at = op->args[0]->code == SFI_CEL_OP_CONST ? 0 : 1;
    if (op->args[at]->code != SFI_CEL_OP_CONST || op->args[at]->constant.size > SHORT_MAX) {
        return NULL;
    }
    const struct sfi_cel_member_table *table =
        make_table(&low->program->arena, &op->args[at]->constant, 1, true);
    if (table == NULL) {
        return NULL;
    }
    op->args[0] = op->args[1 - at];
    op->arg_count = 1;
    op->call.members = table;
    return differs ? eval_not_in : eval_in;
}

sfi_cel_eval sfi_cel_choose_member(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                   const char *function)
{
    if (op->arg_count == 2 && (strcmp(function, "=") == 0 || strcmp(function, "!") == 0)) {
        return choose_equal(low, op, function[0] == '!');
    }
    if (strcmp(function, "@in") != 0 || op->args[1]->code != SFI_CEL_OP_CONST ||
        op->args[1]->constant.kind != SFI_CEL_LIST ||
        (op->args[0]->rep != SFI_CEL_REP_INT && op->args[0]->rep != SFI_CEL_REP_UINT &&
         (op->args[0]->rep != SFI_CEL_REP_TEXT || op->args[0]->kind != SFI_CEL_STRING))) {
        return NULL;
    }
    const struct sfi_cel_member_table *table = sfi_cel_member_table_new(
        &low->program->arena, op->args[1]->constant.list, (enum sfi_cel_rep)op->args[0]->rep);
    if (table == NULL) {
        return NULL;
    }
    op->call.members = table;
    op->arg_count = 1;
    op->is_cheap = true;
    return eval_in;
}
