/*
 * run_build.c - fields of maps (also through optionals), and the literals of lists, maps and the
 * few messages that are values of the language: timestamps, durations and wrappers.
 */
#include "cel/program_internal.h"

#include "cel/time.h"

#include <math.h>

/* ---- e.f, has(e.f), e.?f --------------------------------------------------------------------- */

static struct sfi_cel_value select_field(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                         struct sfi_cel_value operand)
{
    struct sfi_cel_frame *frame = &run->frame;
    bool is_optional = op->select.is_optional;
    if (operand.kind == SFI_CEL_OPTIONAL) {
        if (operand.optional == NULL) {
            return op->select.is_test ? sfi_cel_bool(false) : operand;
        }
        operand = *operand.optional;
        is_optional = true;
    }
    if (operand.kind != SFI_CEL_MAP) {
        return sfi_cel_fail_overload(frame, "selection of a field", &operand, 1);
    }
    if (!sfi_cel_charge(frame, op->select.key.size)) {
        return sfi_cel_fail_steps();
    }
    const struct sfi_cel_value *value = sfi_cel_map_find(operand.map, op->select.key);
    if (op->select.is_test) {
        return sfi_cel_bool(value != NULL);
    }
    if (is_optional) {
        return value == NULL ? sfi_cel_optional_none() : sfi_cel_optional_of(frame, *value);
    }
    if (value == NULL) {
        return sfi_cel_fail(frame, SFI_CEL_NOT_FOUND, "no such key: \"%.*s\"",
                            op->select.key.size > 100 ? 100 : (int)op->select.key.size,
                            op->select.key.text);
    }
    return *value;
}

void sfi_cel_eval_select(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                         struct sfi_cel_sel sel)
{
    if (!sfi_cel_eval_args(run, op, &sel)) {
        return;
    }
    for (uint32_t k = 0; k < sel.count && run->over == NULL; k++) {
        uint32_t row = sfi_cel_row_at(sel, k);
        sfi_cel_store(run, op, sel, row, select_field(run, op, sfi_cel_box(run, op->args[0], row)));
    }
}

/* ---- literals -------------------------------------------------------------------------------- */

/*
 * The value of element `i`, written as `value`; *skip: an optional one that holds nothing. An error
 * value when what was marked with ? is no optional.
 */
static struct sfi_cel_value element(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                    uint32_t i, struct sfi_cel_value value, bool *skip)
{
    *skip = false;
    if (op->list.optional == NULL || !op->list.optional[i]) {
        return value;
    }
    if (value.kind != SFI_CEL_OPTIONAL) {
        return sfi_cel_fail_overload(&run->frame, "optional element", &value, 1);
    }
    *skip = value.optional == NULL;
    return *skip ? value : *value.optional;
}

static struct sfi_cel_value make_list(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                      uint32_t row)
{
    struct sfi_cel_list *list = sfi_cel_list_new(&run->frame, op->arg_count);
    if (list == NULL) {
        return sfi_cel_fail_memory();
    }
    list->count = 0;
    for (uint32_t i = 0; i < op->arg_count; i++) {
        bool skip;
        struct sfi_cel_value value = element(run, op, i, sfi_cel_box(run, op->args[i], row), &skip);
        if (value.kind == SFI_CEL_ERROR) {
            return value;
        }
        if (!skip) {
            list->items[list->count++] = value;
        }
    }
    return sfi_cel_list_value(list);
}

static struct sfi_cel_value make_map(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                     uint32_t row)
{
    uint32_t count = 0;
    struct sfi_cel_entry *entries =
        sfi_cel_alloc_array(&run->frame.arena, op->arg_count / 2, sizeof *entries);
    if (entries == NULL) {
        return sfi_cel_fail_memory();
    }
    for (uint32_t i = 0; i < op->arg_count / 2; i++) {
        bool skip;
        entries[count].key = sfi_cel_box(run, op->args[2 * i], row);
        entries[count].value =
            element(run, op, i, sfi_cel_box(run, op->args[2 * i + 1], row), &skip);
        if (entries[count].value.kind == SFI_CEL_ERROR) {
            return entries[count].value;
        }
        count += !skip;
    }
    return sfi_cel_map_make(&run->frame, entries, count);
}

static void eval_literal(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                         struct sfi_cel_sel sel,
                         struct sfi_cel_value (*make)(struct sfi_cel_run *,
                                                      const struct sfi_cel_op *, uint32_t))
{
    if (!sfi_cel_eval_args(run, op, &sel)) {
        return;
    }
    for (uint32_t k = 0; k < sel.count && run->over == NULL; k++) {
        uint32_t row = sfi_cel_row_at(sel, k);
        bool paid = sfi_cel_charge(&run->frame, (size_t)op->arg_count * 16);
        sfi_cel_store(run, op, sel, row, paid ? make(run, op, row) : sfi_cel_fail_steps());
    }
}

void sfi_cel_eval_list(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel)
{
    eval_literal(run, op, sel, make_list);
}

void sfi_cel_eval_map(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel)
{
    eval_literal(run, op, sel, make_map);
}

/* ---- messages -------------------------------------------------------------------------------- */

static struct sfi_cel_value make_time(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                      int64_t seconds, int64_t nanos)
{
    bool is_timestamp = op->list.message->kind == SFI_CEL_TYPE_TIMESTAMP;
    struct sfi_cel_frame *frame = &run->frame;
    if (is_timestamp && (nanos < 0 || nanos > 999999999 || seconds < SFI_CEL_SECONDS_MIN ||
                         seconds > SFI_CEL_SECONDS_MAX)) {
        return sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE, "timestamp out of range");
    }
    if (!is_timestamp && (nanos < -999999999 || nanos > 999999999 ||
                          seconds < -INT64_C(315576000000) || seconds > INT64_C(315576000000) ||
                          (seconds < 0 && nanos > 0) || (seconds > 0 && nanos < 0))) {
        return sfi_cel_fail(frame, SFI_CEL_OUT_OF_RANGE, "duration out of range");
    }
    return sfi_cel_time(is_timestamp ? SFI_CEL_TIMESTAMP : SFI_CEL_DURATION, seconds,
                        (int32_t)nanos);
}

static struct sfi_cel_value make_time_message(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                              uint32_t row)
{
    int64_t parts[2] = {0, 0}; /* seconds, nanos */
    for (uint32_t i = 0; i < op->arg_count; i++) {
        bool skip;
        struct sfi_cel_value value = element(run, op, i, sfi_cel_box(run, op->args[i], row), &skip);
        if (!skip && value.kind != SFI_CEL_INT) {
            return value.kind == SFI_CEL_ERROR
                       ? value
                       : sfi_cel_fail_overload(&run->frame, "field of a message", &value, 1);
        }
        if (!skip) {
            struct sfi_cel_name name = op->list.fields[i];
            parts[name.size == 5 && memcmp(name.text, "nanos", 5) == 0] = value.i64;
        }
    }
    return make_time(run, op, parts[0], parts[1]);
}

static struct sfi_cel_value zero_of(const struct sfi_cel_type *type)
{
    switch (type->kind) {
    case SFI_CEL_TYPE_BOOL:
        return sfi_cel_bool(false);
    case SFI_CEL_TYPE_UINT:
        return sfi_cel_uint(0);
    case SFI_CEL_TYPE_DOUBLE:
        return sfi_cel_double(0);
    case SFI_CEL_TYPE_STRING:
        return sfi_cel_string("", 0);
    case SFI_CEL_TYPE_BYTES:
        return sfi_cel_bytes("", 0);
    default:
        return sfi_cel_int(0);
    }
}

/* Int32Value, UInt32Value and FloatValue hold less than the language's types. */
static struct sfi_cel_value narrow(struct sfi_cel_run *run, struct sfi_cel_value value)
{
    if ((value.kind == SFI_CEL_INT && value.i64 != (int32_t)value.i64) ||
        (value.kind == SFI_CEL_UINT && value.u64 != (uint32_t)value.u64)) {
        return sfi_cel_fail(&run->frame, SFI_CEL_OUT_OF_RANGE, "number too large for 32 bits");
    }
    if (value.kind == SFI_CEL_DOUBLE && isfinite(value.f64)) {
        /* Beyond the largest float by half a unit: infinite, as rounding to nearest has it. */
        return sfi_cel_double(fabs(value.f64) >= 0x1.ffffffp127 ? copysign(INFINITY, value.f64)
                                                                : (double)(float)value.f64);
    }
    return value;
}

static struct sfi_cel_value make_wrapper(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                                         uint32_t row)
{
    const struct sfi_cel_type *type = op->list.message->param[0];
    struct sfi_cel_value result = zero_of(type);
    for (uint32_t i = 0; i < op->arg_count; i++) {
        bool skip;
        struct sfi_cel_value value = element(run, op, i, sfi_cel_box(run, op->args[i], row), &skip);
        if (skip) {
            continue;
        }
        if (value.kind != SFI_CEL_ERROR && value.kind != result.kind) {
            return sfi_cel_fail_overload(&run->frame, "field of a message", &value, 1);
        }
        result = value;
    }
    return op->list.message->number == 32 ? narrow(run, result) : result;
}

void sfi_cel_eval_message(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                          struct sfi_cel_sel sel)
{
    eval_literal(run, op, sel,
                 op->list.message->kind == SFI_CEL_TYPE_WRAPPER ? make_wrapper : make_time_message);
}
