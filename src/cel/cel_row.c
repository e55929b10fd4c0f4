/*
 * cel_row.c - one row: the values of a context as variables of a program, and the result as a
 * public value. A value that cannot be bound becomes an error of its variable, so that only an
 * evaluation that comes to it fails.
 */
#include "cel/cel.h"

#include "base/limits.h"
#include "base/memory.h"
#include "cel/time.h"

#include <inttypes.h>
#include <stdio.h>

/* Literals of lists and maps are cut at this many bytes. */
#define TEXT_FIRST 256u
#define TEXT_MAX   (1u << 20)

/* --- in --------------------------------------------------------------------------------------- */

static const char *kind_name(shardy_cel_kind kind)
{
    static const char *const names[] = {"null",   "bool",  "int",       "uint",     "double",
                                        "string", "bytes", "timestamp", "duration", "other"};
    return (unsigned)kind < sizeof names / sizeof names[0] ? names[kind] : "an unknown kind";
}

static bool convert_number(enum sfi_cel_type_kind type, const shardy_cel_value *from,
                           struct sfi_cel_value *to)
{
    bool is_int = from->kind == SHARDY_CEL_INT;
    if (!is_int && from->kind != SHARDY_CEL_UINT) {
        *to = sfi_cel_double(from->real);
        return type == SFI_CEL_TYPE_DOUBLE && from->kind == SHARDY_CEL_DOUBLE;
    }
    if (type == SFI_CEL_TYPE_DOUBLE) {
        *to = sfi_cel_double(is_int ? (double)from->integer : (double)from->natural);
        return true;
    }
    /* The same 64 bits, as long as they mean the same number. */
    *to = type == SFI_CEL_TYPE_INT ? sfi_cel_int(from->integer) : sfi_cel_uint(from->natural);
    return (type == SFI_CEL_TYPE_INT) == is_int || from->natural <= INT64_MAX;
}

static bool convert_time(enum sfi_cel_kind kind, const shardy_cel_value *from,
                         struct sfi_cel_value *to)
{
    int64_t seconds = from->integer;
    int32_t nanos = from->nanos;
    *to = sfi_cel_time(kind, seconds, nanos);
    if (kind == SFI_CEL_TIMESTAMP) {
        return seconds >= SFI_CEL_SECONDS_MIN && seconds <= SFI_CEL_SECONDS_MAX && nanos >= 0 &&
               nanos < 1000000000;
    }
    bool one_sign = (seconds >= 0 && nanos >= 0) || (seconds <= 0 && nanos <= 0);
    return one_sign && nanos > -1000000000 && nanos < 1000000000 &&
           seconds >= -SFI_CEL_DURATION_MAX && seconds <= SFI_CEL_DURATION_MAX;
}

static enum sfi_cel_type_kind natural_type(shardy_cel_kind kind)
{
    static const enum sfi_cel_type_kind types[] = {
        SFI_CEL_TYPE_NULL,  SFI_CEL_TYPE_BOOL,      SFI_CEL_TYPE_INT,
        SFI_CEL_TYPE_UINT,  SFI_CEL_TYPE_DOUBLE,    SFI_CEL_TYPE_STRING,
        SFI_CEL_TYPE_BYTES, SFI_CEL_TYPE_TIMESTAMP, SFI_CEL_TYPE_DURATION};
    return (unsigned)kind < sizeof types / sizeof types[0] ? types[kind] : SFI_CEL_TYPE_LIST;
}

/* false: the value does not suit the type. */
static bool convert(enum sfi_cel_type_kind type, const shardy_cel_value *from,
                    struct sfi_cel_value *to)
{
    enum sfi_cel_type_kind natural = natural_type(from->kind);
    if (type == SFI_CEL_TYPE_DYN) {
        type = natural;
    }
    switch (type) {
    case SFI_CEL_TYPE_INT:
    case SFI_CEL_TYPE_UINT:
    case SFI_CEL_TYPE_DOUBLE:
        return convert_number(type, from, to);
    case SFI_CEL_TYPE_BOOL:
        *to = sfi_cel_bool(from->boolean);
        break;
    case SFI_CEL_TYPE_STRING:
        *to = sfi_cel_string(from->text, (uint32_t)from->size);
        break;
    case SFI_CEL_TYPE_BYTES:
        *to = sfi_cel_bytes(from->text, (uint32_t)from->size);
        break;
    case SFI_CEL_TYPE_TIMESTAMP:
        return natural == type && convert_time(SFI_CEL_TIMESTAMP, from, to);
    case SFI_CEL_TYPE_DURATION:
        return natural == type && convert_time(SFI_CEL_DURATION, from, to);
    case SFI_CEL_TYPE_NULL:
        *to = sfi_cel_null();
        break;
    default:
        return false;
    }
    return natural == type && from->size <= UINT32_MAX;
}

/* The kind is right, or an integer, and yet the value is not taken: it is out of range. */
static bool is_near(enum sfi_cel_type_kind type, shardy_cel_kind kind)
{
    bool is_integer = type == SFI_CEL_TYPE_INT || type == SFI_CEL_TYPE_UINT;
    return natural_type(kind) == type ||
           (is_integer && (kind == SHARDY_CEL_INT || kind == SHARDY_CEL_UINT));
}

static struct sfi_cel_value no_value(const shardy_cel *cel, struct sfi_cel_worker *worker,
                                     size_t column, const shardy_cel_value *given)
{
    char *text = worker->texts[column];
    size_t size = sizeof worker->texts[column];
    const char *name = cel->columns[column].name;
    const char *type = cel->columns[column].type;
    struct sfi_cel_error *error = &worker->errors[column];
    *error = (struct sfi_cel_error){SFI_CEL_INVALID_ARGUMENT, UINT32_MAX, text};
    if (given == NULL) {
        error->code = SFI_CEL_MISSING;
        (void)snprintf(text, size, "no value for column \"%.60s\" (%s)", name, type);
    } else if (given->kind == SHARDY_CEL_NULL) {
        (void)snprintf(text, size, "column \"%.60s\" (%s) is null", name, type);
    } else if (is_near(cel->types[column]->kind, given->kind)) {
        (void)snprintf(text, size, "column \"%.60s\": value does not fit %s; got %s", name, type,
                       kind_name(given->kind));
    } else {
        (void)snprintf(text, size, "column \"%.60s\" must be %s; got %s", name, type,
                       kind_name(given->kind));
    }
    return (struct sfi_cel_value){SFI_CEL_ERROR, 0, {.error = error}};
}

/* strcmp() == 0, for names that are a few characters long. */
static inline bool same_name(const char *a, const char *b)
{
    while (*a == *b && *a != '\0') {
        a++;
        b++;
    }
    return *a == *b;
}

/* Contexts usually list the columns in the order of their declaration. */
static const shardy_cel_value *find(const shardy_context *context, const char *name, size_t hint)
{
    const shardy_context_entry *entries = context->entries;
    if (hint < context->count && entries[hint].name != NULL &&
        same_name(entries[hint].name, name)) {
        return &entries[hint].value;
    }
    for (size_t i = 0; i < context->count; i++) {
        if (entries[i].name != NULL && same_name(entries[i].name, name)) {
            return &entries[i].value;
        }
    }
    return NULL;
}

struct sfi_cel_value sfi_cel_run_context(const shardy_cel *cel, struct sfi_cel_worker *worker,
                                         const shardy_context *context)
{
    for (size_t i = 0; i < cel->read_count; i++) {
        size_t at = cel->read[i];
        const shardy_cel_value *given = find(context, cel->columns[at].name, at);
        if (given == NULL || !convert(cel->types[at]->kind, given, &worker->variables[at])) {
            worker->variables[at] = no_value(cel, worker, at, given);
        }
    }
    return sfi_cel_run_row(worker->run, worker->variables);
}

/* --- out -------------------------------------------------------------------------------------- */

/* What a result owns: room for text, used again. */
struct owner {
    size_t capacity;
    char text[];
};

static char *reserve(shardy_cel_result *result, size_t size)
{
    struct owner *owner = result->owner;
    if (owner == NULL || owner->capacity < size) {
        struct owner *larger = sfi_malloc(sizeof *owner + size);
        if (larger == NULL) {
            return NULL;
        }
        larger->capacity = size;
        sfi_free(owner);
        result->owner = larger;
        owner = larger;
    }
    return owner->text;
}

void shardy_cel_result_clear(shardy_cel_result *result)
{
    if (result != NULL) {
        sfi_free(result->owner);
        memset(result, 0, sizeof *result);
    }
}

static shardy_status give_text(shardy_cel_kind kind, struct sfi_cel_value from,
                               shardy_cel_result *result, shardy_error *err)
{
    char *text = reserve(result, from.size);
    if (text == NULL) {
        return sfi_fail_memory(err, from.size);
    }
    if (from.size > 0) {
        memcpy(text, from.text, from.size);
    }
    result->value.kind = kind;
    result->value.text = text;
    result->value.size = from.size;
    return SHARDY_OK;
}

static shardy_status give_literal(struct sfi_cel_value from, shardy_cel_result *result,
                                  shardy_error *err)
{
    for (size_t capacity = TEXT_FIRST;; capacity *= 4) {
        char *text = reserve(result, capacity);
        if (text == NULL) {
            return sfi_fail_memory(err, capacity);
        }
        sfi_cel_value_text(from, text, capacity);
        size_t size = strlen(text);
        if (size + 8 < capacity || capacity >= TEXT_MAX) {
            result->value.kind = SHARDY_CEL_OTHER;
            result->value.text = text;
            result->value.size = size;
            return SHARDY_OK;
        }
    }
}

/* Field by field: a whole value copied would be read before its parts are written (a stall). */
static shardy_status give(const shardy_cel *cel, struct sfi_cel_value from,
                          shardy_cel_result *result, shardy_error *err)
{
    shardy_cel_value *to = &result->value;
    switch ((enum sfi_cel_kind)from.kind) {
    case SFI_CEL_NULL:
        return SHARDY_OK;
    case SFI_CEL_BOOL:
        to->kind = SHARDY_CEL_BOOL;
        to->boolean = from.boolean;
        return SHARDY_OK;
    case SFI_CEL_INT:
        to->kind = SHARDY_CEL_INT;
        to->integer = from.i64;
        return SHARDY_OK;
    case SFI_CEL_UINT:
        to->kind = SHARDY_CEL_UINT;
        to->natural = from.u64;
        return SHARDY_OK;
    case SFI_CEL_DOUBLE:
        to->kind = SHARDY_CEL_DOUBLE;
        to->real = from.f64;
        return SHARDY_OK;
    case SFI_CEL_STRING:
        return give_text(SHARDY_CEL_STRING, from, result, err);
    case SFI_CEL_BYTES:
        return give_text(SHARDY_CEL_BYTES, from, result, err);
    case SFI_CEL_TIMESTAMP:
    case SFI_CEL_DURATION:
        to->integer = from.i64;
        to->kind = from.kind == SFI_CEL_TIMESTAMP ? SHARDY_CEL_TIMESTAMP : SHARDY_CEL_DURATION;
        to->nanos = sfi_cel_nanos(from);
        return SHARDY_OK;
    case SFI_CEL_ERROR:
        return sfi_cel_report(cel->program, from.error, err);
    default:
        return give_literal(from, result, err);
    }
}

shardy_status shardy_cel_evaluate(const shardy_cel *cel, const shardy_context *context,
                                  shardy_cel_result *result, shardy_error *err)
{
    static const shardy_context nothing = {NULL, 0};
    shardy_cel *shared = (shardy_cel *)(uintptr_t)cel; /* its pool is made for sharing */
    struct sfi_cel_worker *worker;
    result->value = (shardy_cel_value){SHARDY_CEL_NULL, 0, {false}, 0};
    SFI_RETURN_IF_ERR(sfi_cel_take(shared, false, &worker, err));
    struct sfi_cel_value value =
        sfi_cel_run_context(cel, worker, context != NULL ? context : &nothing);
    shardy_status st = give(cel, value, result, err);
    sfi_cel_give(worker);
    return st;
}
