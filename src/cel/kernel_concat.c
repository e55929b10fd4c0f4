/*
 * kernel_concat.c - chains of + over texts as one operation: string(int) is written in place, and
 * what is only hashed is put together in a buffer on the stack and never stored.
 *
 * Short texts are copied 16 bytes at a time, whatever their length, where the column's buffer goes
 * on behind them: a copy of known size is two instructions, one of unknown size a jump table.
 */
#include "cel/kernel.h"

#define BLIND      16u
#define HASH_ROOM  512u
#define CHUNK      (64u << 10)
#define DIGITS_MAX 20u
#define PARTS_FAST 12u

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233"
                            "34353637383940414243444546474849505152535455565758596061626364656667"
                            "6869707172737475767778798081828384858687888990919293949596979899";

/* ---- one row --------------------------------------------------------------------------------- */

/* Decimal digits; returns the end. There is room for DIGITS_MAX. */
static inline uint8_t *put_uint(uint8_t *at, uint64_t number)
{
    uint8_t digits[DIGITS_MAX];
    uint8_t *first = digits + DIGITS_MAX;
    if (number < 10) {
        *at = (uint8_t)('0' + number);
        return at + 1;
    }
    while (number >= 100) {
        first -= 2;
        memcpy(first, pairs + 2 * (number % 100), 2);
        number /= 100;
    }
    if (number >= 10) {
        first -= 2;
        memcpy(first, pairs + 2 * number, 2);
    } else {
        *--first = (uint8_t)('0' + number);
    }
    size_t size = (size_t)(digits + DIGITS_MAX - first);
    memcpy(at, first, size);
    return at + size;
}

static inline uint8_t *put_int(uint8_t *at, int64_t number)
{
    uint64_t magnitude = (uint64_t)number;
    if (number < 0) {
        *at++ = '-';
        magnitude = 0 - magnitude;
    }
    return put_uint(at, magnitude);
}

/* Copies `size` bytes; may write up to BLIND bytes, and read as many when `end` allows. */
static inline uint8_t *put_text(uint8_t *at, struct sfi_bytes text, const uint8_t *end)
{
    if (__builtin_expect(text.size <= BLIND, 1)) {
        if (__builtin_expect(end - text.data >= (ptrdiff_t)BLIND, 1)) {
            memcpy(at, text.data, BLIND);
        } else {
            uint64_t words[2];
            sfi_cel_words(text, words);
            memcpy(at, words, BLIND);
        }
    } else {
        memcpy(at, text.data, text.size);
    }
    return at + text.size;
}

/* A part with the memory its rows are read from. */
struct source {
    enum sfi_cel_part_kind kind;
    uint32_t stride;
    const int64_t *numbers;
    struct sfi_cel_texts texts;
    struct sfi_bytes text; /* CONST: BLIND bytes behind its start may be read */
};

static inline struct sfi_bytes source_text(const struct source *source, uint32_t row)
{
    return source->kind == SFI_CEL_PART_CONST ? source->text : sfi_cel_text_at(&source->texts, row);
}

static inline bool is_number(const struct source *source)
{
    return source->kind == SFI_CEL_PART_INT || source->kind == SFI_CEL_PART_UINT;
}

/* Bytes that a row may take, and those that copies may write behind it. */
static inline size_t most_bytes(const struct source *sources, uint32_t count, uint32_t row)
{
    size_t sum = BLIND;
    for (uint32_t i = 0; i < count; i++) {
        sum += is_number(&sources[i]) ? DIGITS_MAX : source_text(&sources[i], row).size;
    }
    return sum;
}

static inline uint8_t *put_row(uint8_t *at, const struct source *sources, uint32_t count,
                               uint32_t row)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct source *source = &sources[i];
        if (source->kind == SFI_CEL_PART_INT) {
            at = put_int(at, source->numbers[row * source->stride]);
        } else if (source->kind == SFI_CEL_PART_UINT) {
            at = put_uint(at, (uint64_t)source->numbers[row * source->stride]);
        } else if (source->kind == SFI_CEL_PART_CONST) {
            at = put_text(at, source->text, source->text.data + BLIND);
        } else {
            struct sfi_bytes text = sfi_cel_text_at(&source->texts, row);
            const uint8_t *end =
                source->texts.views == NULL ? source->texts.end : text.data + text.size;
            at = put_text(at, text, end);
        }
    }
    return at;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* The parts with their memory; `few` is used when they fit. NULL: run over. */
static struct source *open_sources(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                   struct source few[PARTS_FAST])
{
    uint32_t count = op->call.part_count;
    struct source *sources = few;
    if (count > PARTS_FAST) {
        sources = sfi_cel_alloc_array(&run->frame.arena, count, sizeof *sources);
        if (sources == NULL) {
            sfi_cel_over_memory(run);
            return NULL;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct sfi_cel_part *part = &op->call.parts[i];
        sources[i].kind = part->kind;
        if (part->kind == SFI_CEL_PART_CONST) {
            sources[i].text = part->text;
        } else if (part->kind == SFI_CEL_PART_TEXT) {
            sources[i].texts = sfi_cel_texts_of(run, op->args[part->arg]);
        } else {
            const struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op->args[part->arg]);
            sources[i].numbers = vec->data;
            sources[i].stride = vec->is_uniform ? 0 : 1;
        }
    }
    return sources;
}

void sfi_cel_eval_concat(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                         struct sfi_cel_sel sel)
{
    struct source few[PARTS_FAST];
    uint32_t count = op->call.part_count;
    struct sfi_bytes *out = sfi_cel_vec_of(run, op)->own;
    uint8_t *at = NULL;
    uint8_t *end = NULL;
    size_t bytes = 0;
    if (!sfi_cel_eval_args(run, op, &sel)) {
        return;
    }
    const struct source *sources = open_sources(run, op, few);
    for (uint32_t k = 0; k < sel.count && sources != NULL; k++) {
        uint32_t row = sfi_cel_row_at(sel, k);
        size_t need = most_bytes(sources, count, row);
        if ((size_t)(end - at) < need) {
            size_t chunk = need < CHUNK && sel.count > 1 ? CHUNK : need;
            at = sfi_cel_alloc(&run->frame.arena, chunk);
            if (at == NULL) {
                sfi_cel_over_memory(run);
                return;
            }
            end = at + chunk;
        }
        uint8_t *after = put_row(at, sources, count, row);
        out[row].data = at;
        out[row].size = (size_t)(after - at);
        bytes += out[row].size;
        at = after;
    }
    (void)sfi_cel_charge_rows(run, op, bytes);
}

/* A row that does not fit the stack: put together in the arena. */
static uint64_t hash_large(struct sfi_cel_run *run, const struct source *sources, uint32_t count,
                           uint32_t row, size_t need)
{
    uint8_t *at = sfi_cel_alloc(&run->frame.arena, need);
    if (at == NULL) {
        sfi_cel_over_memory(run);
        return 0;
    }
    return sfi_digest_bytes(at, (size_t)(put_row(at, sources, count, row) - at));
}

void sfi_cel_eval_concat_hash(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                              struct sfi_cel_sel sel)
{
    struct source few[PARTS_FAST];
    uint8_t buffer[HASH_ROOM];
    uint32_t count = op->call.part_count;
    uint64_t *out = sfi_cel_vec_of(run, op)->own;
    size_t bytes = 0;
    if (!sfi_cel_eval_args(run, op, &sel)) {
        return;
    }
    const struct source *sources = open_sources(run, op, few);
    for (uint32_t k = 0; k < sel.count && sources != NULL && run->over == NULL; k++) {
        uint32_t row = sfi_cel_row_at(sel, k);
        size_t need = most_bytes(sources, count, row);
        bytes += need;
        if (__builtin_expect(need > HASH_ROOM, 0)) {
            out[row] = hash_large(run, sources, count, row, need);
            continue;
        }
        const uint8_t *after = put_row(buffer, sources, count, row);
        out[row] = sfi_digest_bytes(buffer, (size_t)(after - buffer));
    }
    (void)sfi_cel_charge_rows(run, op, bytes);
}

/* ---- lowering -------------------------------------------------------------------------------- */

static bool is_sum(const struct sfi_cel_node *node, enum sfi_cel_type_kind kind)
{
    return node->kind == SFI_CEL_NODE_CALL && node->type != NULL && node->type->kind == kind &&
           node->overload_count == 1 && node->call.target == NULL && node->call.count == 2 &&
           strcmp(node->overloads[0]->function, "_+_") == 0 &&
           node->call.args[0]->type->kind == kind && node->call.args[1]->type->kind == kind;
}

static uint32_t count_parts(const struct sfi_cel_node *node, enum sfi_cel_type_kind kind)
{
    return is_sum(node, kind)
               ? count_parts(node->call.args[0], kind) + count_parts(node->call.args[1], kind)
               : 1;
}

/* A constant part, with bytes behind it that a blind copy may read. */
static bool set_constant(struct sfi_cel_lowering *low, struct sfi_cel_part *part,
                         struct sfi_cel_value value)
{
    uint8_t *copy = sfi_cel_alloc(&low->program->arena, (size_t)value.size + BLIND);
    if (copy == NULL) {
        low->failed = true;
        return false;
    }
    memset(copy, 0, (size_t)value.size + BLIND);
    if (value.size > 0) {
        memcpy(copy, value.text, value.size);
    }
    part->kind = SFI_CEL_PART_CONST;
    part->text.data = copy;
    part->text.size = value.size;
    return true;
}

/* Take the parts of a lowered operand over; neighbouring constants are joined later. */
static bool add_part(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                     struct sfi_cel_part *parts, const struct sfi_cel_node *node)
{
    struct sfi_cel_op *arg = sfi_cel_lower(low, node);
    if (arg == NULL) {
        return false;
    }
    struct sfi_cel_part *part = &parts[op->call.part_count++];
    if (arg->code == SFI_CEL_OP_CONST) {
        return set_constant(low, part, arg->constant);
    }
    part->kind = SFI_CEL_PART_TEXT;
    part->arg = op->arg_count;
    if (arg->eval == sfi_cel_eval_concat && arg->call.part_count == 1) {
        part->kind = arg->call.parts[0].kind; /* string(int) */
        arg = arg->args[0];
    }
    op->args[op->arg_count++] = arg;
    return true;
}

static bool add_parts(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                      struct sfi_cel_part *parts, const struct sfi_cel_node *node,
                      enum sfi_cel_type_kind kind)
{
    if (!is_sum(node, kind)) {
        return add_part(low, op, parts, node);
    }
    low->program->nodes[node->id] = node;
    return add_parts(low, op, parts, node->call.args[0], kind) &&
           add_parts(low, op, parts, node->call.args[1], kind);
}

/* Constants next to each other become one. */
static bool join_constants(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                           struct sfi_cel_part *parts)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < op->call.part_count; i++) {
        struct sfi_cel_part *last = count > 0 ? &parts[count - 1] : NULL;
        if (last == NULL || last->kind != SFI_CEL_PART_CONST ||
            parts[i].kind != SFI_CEL_PART_CONST) {
            parts[count++] = parts[i];
            continue;
        }
        size_t size = last->text.size + parts[i].text.size;
        uint8_t *both = sfi_cel_alloc(&low->program->arena, size + BLIND);
        if (both == NULL) {
            low->failed = true;
            return false;
        }
        memset(both + size, 0, BLIND);
        memcpy(both, last->text.data, last->text.size);
        memcpy(both + last->text.size, parts[i].text.data, parts[i].text.size);
        last->text.data = both;
        last->text.size = size;
    }
    op->call.part_count = count;
    return true;
}

struct sfi_cel_op *sfi_cel_lower_concat(struct sfi_cel_lowering *low,
                                        const struct sfi_cel_node *node)
{
    enum sfi_cel_type_kind kind = node->type == NULL ? SFI_CEL_TYPE_DYN : node->type->kind;
    if ((kind != SFI_CEL_TYPE_STRING && kind != SFI_CEL_TYPE_BYTES) || !is_sum(node, kind)) {
        return NULL;
    }
    uint32_t count = count_parts(node, kind);
    struct sfi_cel_op *op = sfi_cel_new_op(low, node, sfi_cel_eval_concat, count);
    struct sfi_cel_part *parts = sfi_cel_alloc_array(&low->program->arena, count, sizeof *parts);
    if (op == NULL || parts == NULL) {
        low->failed = true;
        return NULL;
    }
    memset(parts, 0, count * sizeof *parts);
    op->code = SFI_CEL_OP_CALL;
    op->arg_count = 0;
    op->call.parts = parts;
    if (!add_parts(low, op, parts, node, kind) || !join_constants(low, op, parts)) {
        return NULL;
    }
    return sfi_cel_finish_op(low, op);
}
