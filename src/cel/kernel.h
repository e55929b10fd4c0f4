/*
 * kernel.h - loops of the column kernels, as templates over two vectors, and their texts.
 */
#ifndef SFI_CEL_KERNEL_H
#define SFI_CEL_KERNEL_H

#include "cel/program_internal.h"

#include <string.h>

/*
 * out[row] = EXPR over `x` of the first argument and `y` of the second. The common cases, both
 * dense or one of them constant, are loops of their own that the compiler can vectorise.
 */
#define SFI_CEL_LOOP_ROWS(IN, OUT, LIMIT, ROW, X, Y, EXPR) \
    for (uint32_t k_ = 0; k_ < (LIMIT); k_++) {            \
        const uint32_t r_ = (ROW);                         \
        const IN x = (X);                                  \
        const IN y = (Y);                                  \
        out_[r_] = (OUT)(EXPR);                            \
    }

#define SFI_CEL_KERNEL_2(run, op, sel, IN, OUT, EXPR)                                             \
    do {                                                                                          \
        const struct sfi_cel_vec *av_ = sfi_cel_vec_of(run, (op)->args[0]);                       \
        const struct sfi_cel_vec *bv_ = sfi_cel_vec_of(run, (op)->args[1]);                       \
        const __typeof__(IN) *a_ = av_->data;                                                     \
        const __typeof__(IN) *b_ = bv_->data;                                                     \
        __typeof__(OUT) *out_ = sfi_cel_vec_of(run, op)->own;                                     \
        const uint32_t n_ = (sel).count;                                                          \
        if ((sel).rows == NULL && !av_->is_uniform && !bv_->is_uniform) {                         \
            SFI_CEL_LOOP_ROWS(IN, OUT, n_, k_, a_[k_], b_[k_], EXPR)                              \
        } else if ((sel).rows == NULL && !av_->is_uniform) {                                      \
            const IN b0_ = b_[0];                                                                 \
            SFI_CEL_LOOP_ROWS(IN, OUT, n_, k_, a_[k_], b0_, EXPR)                                 \
        } else if ((sel).rows == NULL && !bv_->is_uniform) {                                      \
            const IN a0_ = a_[0];                                                                 \
            SFI_CEL_LOOP_ROWS(IN, OUT, n_, k_, a0_, b_[k_], EXPR)                                 \
        } else {                                                                                  \
            SFI_CEL_LOOP_ROWS(IN, OUT, n_, sfi_cel_row_at(sel, k_), a_[av_->is_uniform ? 0 : r_], \
                              b_[bv_->is_uniform ? 0 : r_], EXPR)                                 \
        }                                                                                         \
    } while (0)

#define SFI_CEL_KERNEL_1(run, op, sel, IN, OUT, EXPR)                       \
    do {                                                                    \
        const struct sfi_cel_vec *av_ = sfi_cel_vec_of(run, (op)->args[0]); \
        const __typeof__(IN) *a_ = av_->data;                               \
        __typeof__(OUT) *out_ = sfi_cel_vec_of(run, op)->own;               \
        const uint32_t n_ = (sel).count;                                    \
        if ((sel).rows == NULL && !av_->is_uniform) {                       \
            for (uint32_t k_ = 0; k_ < n_; k_++) {                          \
                const IN x = a_[k_];                                        \
                out_[k_] = (OUT)(EXPR);                                     \
            }                                                               \
        } else {                                                            \
            for (uint32_t k_ = 0; k_ < n_; k_++) {                          \
                const uint32_t r_ = sfi_cel_row_at(sel, k_);                \
                const IN x = a_[av_->is_uniform ? 0 : r_];                  \
                out_[r_] = (OUT)(EXPR);                                     \
            }                                                               \
        }                                                                   \
    } while (0)

static inline bool sfi_cel_args_are(const struct sfi_cel_op *op, enum sfi_cel_rep rep,
                                    uint32_t count)
{
    if (op->arg_count != count) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (op->args[i]->rep != rep) {
            return false;
        }
    }
    return true;
}

/* Texts of an evaluated operation, whatever their form. */
struct sfi_cel_texts {
    const struct sfi_bytes *views; /* NULL: offsets */
    const uint8_t *base;
    const int32_t *offsets;
    const uint8_t *end; /* up to here bytes may be read past a text: never less than its end */
    uint32_t stride;    /* 0: uniform */
};

static inline struct sfi_cel_texts sfi_cel_texts_of(struct sfi_cel_run *run,
                                                    const struct sfi_cel_op *op)
{
    struct sfi_cel_vec *vec = sfi_cel_vec_of(run, op);
    struct sfi_cel_texts texts = {.stride = 1};
    if (vec->form == SFI_CEL_FORM_VAR32) {
        texts.base = vec->data;
        texts.offsets = vec->offsets;
        texts.end = texts.base + texts.offsets[run->count];
        return texts;
    }
    sfi_cel_make_native(run, op);
    texts.views = vec->data;
    texts.stride = vec->is_uniform ? 0 : 1;
    return texts;
}

static inline struct sfi_bytes sfi_cel_text_at(const struct sfi_cel_texts *texts, uint32_t row)
{
    if (texts->views != NULL) {
        return texts->views[row * texts->stride];
    }
    struct sfi_bytes text = {texts->base + texts->offsets[row],
                             (size_t)(texts->offsets[row + 1] - texts->offsets[row])};
    return text;
}

static inline uint64_t sfi_cel_load8(const uint8_t *data)
{
    uint64_t value;
    memcpy(&value, data, sizeof value);
    return value;
}

static inline uint64_t sfi_cel_load4(const uint8_t *data)
{
    uint32_t value;
    memcpy(&value, data, sizeof value);
    return value;
}

/* Up to 16 bytes as two words, zero padded; reads nothing outside of the text. */
static inline void sfi_cel_words(struct sfi_bytes text, uint64_t words[2])
{
    const uint8_t *data = text.data;
    size_t size = text.size;
    words[1] = 0;
    if (size > 8) {
        words[0] = sfi_cel_load8(data);
        words[1] = sfi_cel_load8(data + size - 8) >> (8 * (16 - size));
    } else if (size == 8) {
        words[0] = sfi_cel_load8(data);
    } else if (size >= 4) {
        uint64_t high = sfi_cel_load4(data + size - 4);
        words[0] = sfi_cel_load4(data) | high << (8 * (size - 4));
    } else if (size > 0) {
        uint64_t middle = data[size / 2];
        uint64_t last = data[size - 1];
        words[0] = data[0] | middle << (8 * (size / 2)) | last << (8 * (size - 1));
    } else {
        words[0] = 0;
    }
}

/* The same when 16 bytes from `data` on may be read: no branch. */
static inline void sfi_cel_words_blind(struct sfi_bytes text, uint64_t words[2])
{
    size_t size = text.size;
    size_t low = size < 8 ? size : 8;
    size_t high = size < 8 ? 0 : size - 8;
    uint64_t low_mask = low == 8 ? UINT64_MAX : ((uint64_t)1 << (8 * low)) - 1;
    uint64_t high_mask = high == 8 ? UINT64_MAX : ((uint64_t)1 << (8 * high)) - 1;
    words[0] = sfi_cel_load8(text.data) & low_mask;
    words[1] = sfi_cel_load8(text.data + 8) & high_mask;
}

/* x / n; exact for every x. */
static inline uint64_t sfi_cel_divide(const struct sfi_cel_divisor *divisor, uint64_t x)
{
    __extension__ typedef unsigned __int128 wide;
    uint64_t quotient = (uint64_t)((wide)x * divisor->reciprocal >> 64);
    uint64_t rest = x - quotient * divisor->n;
    return quotient + (rest >= divisor->n);
}

static inline uint64_t sfi_cel_modulo(const struct sfi_cel_divisor *divisor, uint64_t x)
{
    __extension__ typedef unsigned __int128 wide;
    uint64_t quotient = (uint64_t)((wide)x * divisor->reciprocal >> 64);
    uint64_t rest = x - quotient * divisor->n;
    uint64_t less = rest - divisor->n;
    __asm__("" : "+r"(less)); /* keeps the choice below free of a jump */
    return rest < less ? rest : less;
}

#endif
