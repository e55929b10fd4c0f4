/*
 * value.h - values of the Common Expression Language while an expression is evaluated.
 *
 * A value is 16 bytes and passed by value. What it points to (text, elements) is borrowed from the
 * input columns, the program's constants or the evaluation's arena; nothing is ever freed singly.
 * Lists and maps are immutable once a value refers to them.
 * Semantics: github.com/google/cel-spec, doc/langdef.md; /docs/cel.md for what we add.
 */
#ifndef SFI_CEL_VALUE_H
#define SFI_CEL_VALUE_H

#include "cel/arena.h"
#include "cel/type.h"

#include <stdint.h>
#include <string.h>

enum sfi_cel_kind {
    SFI_CEL_NULL,
    SFI_CEL_BOOL,      /* boolean */
    SFI_CEL_INT,       /* i64 */
    SFI_CEL_UINT,      /* u64 */
    SFI_CEL_DOUBLE,    /* f64 */
    SFI_CEL_STRING,    /* text, size: valid UTF-8 */
    SFI_CEL_BYTES,     /* text, size */
    SFI_CEL_TIMESTAMP, /* seconds since 1970 in i64, nanos 0 .. 999,999,999 */
    SFI_CEL_DURATION,  /* seconds in i64, nanos of the same sign, -999,999,999 .. 999,999,999 */
    SFI_CEL_LIST,
    SFI_CEL_MAP,
    SFI_CEL_TYPE,     /* type */
    SFI_CEL_OPTIONAL, /* optional: NULL = none */
    SFI_CEL_IP,       /* network */
    SFI_CEL_CIDR,     /* network */
    SFI_CEL_ERROR     /* error; never inside a list, map or optional */
};

enum sfi_cel_code {
    SFI_CEL_INVALID_ARGUMENT, /* conversions, division by zero, malformed regular expressions */
    SFI_CEL_OUT_OF_RANGE,     /* overflow, index out of bounds */
    SFI_CEL_NOT_FOUND,        /* no such key */
    SFI_CEL_NO_OVERLOAD,      /* operand of a type the function does not take */
    SFI_CEL_MISSING,          /* variable without a value */
    SFI_CEL_OVER_LIMIT        /* steps or memory: ends the evaluation, is never absorbed */
};

struct sfi_cel_value;
struct sfi_cel_list;
struct sfi_cel_map;

struct sfi_cel_error {
    enum sfi_cel_code code;
    uint32_t node;    /* id of the failing sub-expression, UINT32_MAX = not known yet */
    const char *text; /* in the arena or static; without code and position */
};

/* Address of 4 or 16 bytes, network order; prefix length for CIDR. */
struct sfi_cel_network {
    uint8_t address[16];
    uint8_t size;
    uint8_t prefix;
};

struct sfi_cel_value {
    uint8_t kind;  /* enum sfi_cel_kind */
    uint32_t size; /* bytes of text */
    union {
        bool boolean;
        int64_t i64;
        uint64_t u64;
        double f64;
        const char *text; /* not NUL-terminated */
        const struct sfi_cel_list *list;
        const struct sfi_cel_map *map;
        const struct sfi_cel_type *type;
        const struct sfi_cel_value *optional;
        const struct sfi_cel_network *network;
        const struct sfi_cel_error *error;
    };
};

/* nanos of timestamps and durations live in `size`. */
static inline int32_t sfi_cel_nanos(struct sfi_cel_value value)
{
    int32_t nanos;
    memcpy(&nanos, &value.size, sizeof nanos);
    return nanos;
}

struct sfi_cel_list {
    uint32_t count;
    struct sfi_cel_value items[];
};

struct sfi_cel_entry {
    struct sfi_cel_value key;
    struct sfi_cel_value value;
};

/* Entries in the order of construction; `buckets` (a power of two, 0 = none) for large ones. */
struct sfi_cel_map {
    uint32_t count;
    uint32_t bucket_mask;
    const uint32_t *buckets; /* entry number + 1; NULL below SFI_CEL_MAP_HASHED entries */
    struct sfi_cel_entry entries[];
};

/*
 * What evaluation and library functions share: memory, and a count of steps that ends hostile
 * expressions. One frame belongs to one thread.
 */
struct sfi_cel_frame {
    struct sfi_cel_arena arena;
    int64_t steps_left; /* for the row at hand */
    void *caches;       /* of lib_regex.c and lib_time.c; see sfi_cel_caches */
};

static inline struct sfi_cel_value sfi_cel_null(void)
{
    struct sfi_cel_value v = {SFI_CEL_NULL, 0, {.u64 = 0}};
    return v;
}

static inline struct sfi_cel_value sfi_cel_bool(bool boolean)
{
    struct sfi_cel_value v = {SFI_CEL_BOOL, 0, {.u64 = boolean}};
    return v;
}

static inline struct sfi_cel_value sfi_cel_int(int64_t number)
{
    struct sfi_cel_value v = {SFI_CEL_INT, 0, {.i64 = number}};
    return v;
}

static inline struct sfi_cel_value sfi_cel_uint(uint64_t number)
{
    struct sfi_cel_value v = {SFI_CEL_UINT, 0, {.u64 = number}};
    return v;
}

static inline struct sfi_cel_value sfi_cel_double(double number)
{
    struct sfi_cel_value v = {SFI_CEL_DOUBLE, 0, {.f64 = number}};
    return v;
}

/* Borrowed text; the caller vouches for UTF-8. */
static inline struct sfi_cel_value sfi_cel_string(const char *text, uint32_t size)
{
    struct sfi_cel_value v = {SFI_CEL_STRING, size, {.text = text}};
    return v;
}

static inline struct sfi_cel_value sfi_cel_bytes(const char *text, uint32_t size)
{
    struct sfi_cel_value v = {SFI_CEL_BYTES, size, {.text = text}};
    return v;
}

static inline struct sfi_cel_value sfi_cel_time(enum sfi_cel_kind kind, int64_t seconds,
                                                int32_t nanos)
{
    struct sfi_cel_value v = {(uint8_t)kind, 0, {.i64 = seconds}};
    memcpy(&v.size, &nanos, sizeof nanos);
    return v;
}

static inline struct sfi_cel_value sfi_cel_type_value(const struct sfi_cel_type *type)
{
    struct sfi_cel_value v = {SFI_CEL_TYPE, 0, {.type = type}};
    return v;
}

static inline bool sfi_cel_is_error(struct sfi_cel_value value)
{
    return value.kind == SFI_CEL_ERROR;
}

static inline bool sfi_cel_is_text(struct sfi_cel_value value, const char *text)
{
    return value.size == strlen(text) && memcmp(value.text, text, value.size) == 0;
}

/*
 * An error value; `format` as printf. When even that does not fit the arena, a static OVER_LIMIT
 * error. Errors made by sfi_cel_fail() have no node yet; the evaluator puts it in.
 */
struct sfi_cel_value sfi_cel_fail(struct sfi_cel_frame *frame, enum sfi_cel_code code,
                                  const char *format, ...) __attribute__((format(printf, 3, 4)));
/* OVER_LIMIT: memory. Static, needs no memory itself. */
struct sfi_cel_value sfi_cel_fail_memory(void);
/* OVER_LIMIT: steps. */
struct sfi_cel_value sfi_cel_fail_steps(void);
/* NO_OVERLOAD naming function and the kinds of the operands. */
struct sfi_cel_value sfi_cel_fail_overload(struct sfi_cel_frame *frame, const char *function,
                                           const struct sfi_cel_value *args, size_t count);
const char *sfi_cel_code_name(enum sfi_cel_code code); /* "INVALID_ARGUMENT", ... */

/* Charge work over `bytes` bytes or so many steps of 16; false when the budget is gone. */
static inline bool sfi_cel_charge(struct sfi_cel_frame *frame, size_t bytes)
{
    frame->steps_left -= 1 + (int64_t)(bytes >> 4);
    return frame->steps_left >= 0;
}

/* A copy of text in the arena as STRING or BYTES. */
struct sfi_cel_value sfi_cel_copy_text(struct sfi_cel_frame *frame, enum sfi_cel_kind kind,
                                       const char *text, size_t size);
/* An unfilled list; NULL: memory. */
struct sfi_cel_list *sfi_cel_list_new(struct sfi_cel_frame *frame, size_t count);
static inline struct sfi_cel_value sfi_cel_list_value(const struct sfi_cel_list *list)
{
    struct sfi_cel_value v = {SFI_CEL_LIST, 0, {.list = list}};
    return v;
}
/*
 * A map of `count` entries (copied). An error value for keys that are not bool, int, uint or
 * string, and for two equal keys.
 */
#define SFI_CEL_MAP_HASHED 8u
struct sfi_cel_value sfi_cel_map_make(struct sfi_cel_frame *frame,
                                      const struct sfi_cel_entry *entries, size_t count);
/* Value of a key, NULL when absent. Numbers match across int, uint and integral double. */
const struct sfi_cel_value *sfi_cel_map_find(const struct sfi_cel_map *map,
                                             struct sfi_cel_value key);
struct sfi_cel_value sfi_cel_optional_of(struct sfi_cel_frame *frame, struct sfi_cel_value value);
static inline struct sfi_cel_value sfi_cel_optional_none(void)
{
    struct sfi_cel_value v = {SFI_CEL_OPTIONAL, 0, {.optional = NULL}};
    return v;
}

/* Heterogeneous equality of langdef: numbers on one line, NaN equals nothing; never an error. */
bool sfi_cel_equal(struct sfi_cel_value a, struct sfi_cel_value b);
/*
 * -1, 0, 1 for ordered operands (bool, numbers across kinds, string, bytes, timestamp, duration);
 * 2: unordered because of NaN; 3: kinds that have no order.
 */
int sfi_cel_compare(struct sfi_cel_value a, struct sfi_cel_value b);
/* Equal values have equal hashes (numbers across kinds); only for kinds that may be map keys. */
uint64_t sfi_cel_hash(struct sfi_cel_value key);
/* Runtime type of a value: list and map without parameters (`type([1]) == list`). Static. */
const struct sfi_cel_type *sfi_cel_type_of(struct sfi_cel_value value);
/* Whether a value has the runtime kind that a (static) type stands for; DYN and PARAM: any. */
bool sfi_cel_value_fits(struct sfi_cel_value value, const struct sfi_cel_type *type);
/* A deep copy whose memory is in `frame` only. */
struct sfi_cel_value sfi_cel_copy(struct sfi_cel_frame *frame, struct sfi_cel_value value);

/* Text of a value as a CEL literal, for messages and `cel eval`; cut at `size` with "...". */
void sfi_cel_value_text(struct sfi_cel_value value, char *out, size_t size);

/* Whether bytes are UTF-8 without surrogates, and how many code points they are. */
bool sfi_cel_utf8_valid(const char *text, size_t size);
size_t sfi_cel_utf8_count(const char *text, size_t size); /* of valid UTF-8 */

#endif
