/*
 * kernel_time.c - getHours() and its like on columns of timestamps, in UTC or a constant zone. The
 * offset in force is kept with the range of time for which it holds: most rows need one addition
 * and two divisions by constants, whatever the unit of the column is.
 */
#include "cel/kernel.h"

#include "cel/civil.h"

/* Added before dividing, so that unsigned division rounds down; days of 2^63 nanoseconds fit. */
#define BIAS_DAYS       730000
#define BIAS_DAYS_NANOS 106000
/* Nanoseconds nearer to the ends of int64_t are left to the library. */
#define NANOS_EDGE INT64_C(9150000000000000000)

typedef int64_t (*civil_field)(int64_t days);

static int64_t full_year(int64_t days)
{
    return sfi_cel_civil_of_days(days).year;
}

static int64_t month(int64_t days)
{
    return sfi_cel_civil_of_days(days).month - 1;
}

static int64_t date(int64_t days)
{
    return sfi_cel_civil_of_days(days).day;
}

static int64_t day_of_month(int64_t days)
{
    return sfi_cel_civil_of_days(days).day - 1;
}

static int64_t day_of_year(int64_t days)
{
    return days - sfi_cel_days_of_civil(sfi_cel_civil_of_days(days).year, 1, 1);
}

/* A field is time / unit % modulus, or a function of the day. */
static const struct {
    const char *function;
    uint32_t unit; /* seconds */
    uint32_t modulus;
    uint32_t shift_days; /* so that the remainder is 0 on a Sunday */
    civil_field civil;
} fields[] = {
    {"getHours", 3600, 24, 0, NULL},
    {"getMinutes", 60, 60, 0, NULL},
    {"getSeconds", 1, 60, 0, NULL},
    {"getDayOfWeek", 86400, 7, 4, NULL},
    {"getFullYear", 86400, 1, 0, full_year},
    {"getMonth", 86400, 1, 0, month},
    {"getDate", 86400, 1, 0, date},
    {"getDayOfMonth", 86400, 1, 0, day_of_month},
    {"getDayOfYear", 86400, 1, 0, day_of_year},
};

/* Between blocks: the zone, and the offset that was in force last. */
struct zone_state {
    const struct sfi_cel_zone *zone;
    int64_t from; /* seconds; from == until: nothing known yet */
    int64_t until;
    int32_t offset;
};

/* The same in the unit of a column, ready to use. */
struct window {
    int64_t per_second;
    int64_t bias_days;
    uint64_t low;  /* ticks */
    uint64_t span; /* ticks from `low` on for which `add` is right */
    uint64_t add;
};

static int64_t saturated(int64_t seconds, int64_t per_second)
{
    int64_t ticks;
    if (__builtin_mul_overflow(seconds, per_second, &ticks)) {
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    }
    return ticks;
}

static void open_window(struct window *window, const struct zone_state *state, int field)
{
    int64_t low = saturated(state->from, window->per_second);
    int64_t high = saturated(state->until, window->per_second);
    int64_t days = window->bias_days - window->bias_days % 7 + fields[field].shift_days;
    if (window->per_second > 1000000) {
        low = low < -NANOS_EDGE ? -NANOS_EDGE : low;
        high = high > NANOS_EDGE ? NANOS_EDGE : high;
    }
    window->low = (uint64_t)low;
    window->span = high > low ? (uint64_t)high - (uint64_t)low : 0;
    window->add = (uint64_t)(days * SFI_CEL_DAY + state->offset) * (uint64_t)window->per_second;
}

/* Look up the offset at a time; false: outside of what this kernel computes. */
static bool move_window(struct window *window, struct zone_state *state, int field, int64_t ticks)
{
    int64_t seconds = sfi_cel_floor_div(ticks, window->per_second);
    state->offset = 0;
    state->from = INT64_MIN;
    state->until = INT64_MAX;
    if (state->zone != NULL) {
        state->offset = sfi_cel_zone_offset(state->zone, seconds, &state->from, &state->until);
    }
    open_window(window, state, field);
    return (uint64_t)ticks - window->low < window->span;
}

struct division {
    struct sfi_cel_divisor unit;
    struct sfi_cel_divisor modulus;
    civil_field civil;
    int64_t bias_days;
};

static inline int64_t field_of(const struct division *division, uint64_t time)
{
    uint64_t units = sfi_cel_divide(&division->unit, time);
    if (division->civil != NULL) {
        return division->civil((int64_t)units - division->bias_days);
    }
    return (int64_t)sfi_cel_modulo(&division->modulus, units);
}

/*
 * Division of numbers below 2^63 by a fixed n > 1: one multiplication, and no correction afterwards
 * (Granlund and Montgomery, "Division by invariant integers using multiplication", theorem 4.2).
 */
struct exact {
    uint64_t n;
    uint64_t factor;
    unsigned shift;
};

static struct exact exact_of(uint64_t n)
{
    __extension__ typedef unsigned __int128 wide;
    unsigned bits = 64 - (unsigned)__builtin_clzll(n - 1); /* n <= 2^bits */
    struct exact exact = {n, (uint64_t)(((wide)1 << (63 + bits)) / n) + 1, bits - 1};
    return exact;
}

static inline uint64_t exact_divide(struct exact exact, uint64_t x)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)((wide)x * exact.factor >> 64) >> exact.shift;
}

/*
 * The usual case: a whole block of ticks of at most a microsecond's fineness (so that the biased
 * time is below 2^63), in one zone offset. Returns how many rows are done.
 */
static uint32_t eval_clock(const int64_t *ticks, int64_t *out, uint32_t count,
                           const struct window *window, uint64_t unit, uint64_t modulus)
{
    const struct exact units = exact_of(unit);
    const struct exact rest = exact_of(modulus);
    const struct window w = *window;
    for (uint32_t k = 0; k < count; k++) {
        uint64_t time = (uint64_t)ticks[k];
        if (__builtin_expect(time - w.low >= w.span, 0)) {
            return k;
        }
        uint64_t quotient = exact_divide(units, time + w.add);
        out[k] = (int64_t)(quotient - exact_divide(rest, quotient) * rest.n);
    }
    return count;
}

/* Rows one after the other; false: one of them is not for this kernel. */
static inline bool eval_fields(struct sfi_cel_run *run, const struct sfi_cel_op *op,
                               struct sfi_cel_sel sel, struct zone_state *state,
                               struct window *window, const struct division *division)
{
    const struct sfi_cel_vec *arg = sfi_cel_vec_of(run, op->args[0]);
    bool is_ticks = arg->form == SFI_CEL_FORM_TICKS;
    const int64_t *ticks = arg->data;
    const struct sfi_cel_value *values = arg->data;
    int64_t *out = sfi_cel_vec_of(run, op)->own;
    struct window w = *window;
    uint32_t k = 0;
    if (is_ticks && sel.rows == NULL && division->civil == NULL && w.per_second <= 1000000 &&
        division->unit.n > 1) {
        k = eval_clock(ticks, out, sel.count, &w, division->unit.n, division->modulus.n);
    }
    for (; k < sel.count; k++) {
        uint32_t row = sfi_cel_row_at(sel, k);
        int64_t time = is_ticks ? ticks[row] : values[arg->is_uniform ? 0 : row].i64;
        if (__builtin_expect((uint64_t)time - w.low >= w.span, 0) &&
            !move_window(&w, state, op->call.field, time)) {
            return false;
        }
        out[row] = field_of(division, (uint64_t)time + w.add);
    }
    return true;
}

static void eval_field(struct sfi_cel_run *run, const struct sfi_cel_op *op, struct sfi_cel_sel sel)
{
    int field = op->call.field;
    struct zone_state *state = sfi_cel_vec_of(run, op)->state;
    if (!sfi_cel_eval_args(run, op, &sel)) {
        return;
    }
    const struct sfi_cel_vec *arg = sfi_cel_vec_of(run, op->args[0]);
    if (op->arg_count == 2 && state->zone == NULL) {
        struct sfi_cel_value name = op->args[1]->constant;
        state->zone = sfi_cel_zone_find(&run->frame, name.text, name.size);
        if (state->zone == NULL) {
            sfi_cel_call_rows(run, op, sel);
            return;
        }
    }
    struct window window = {.per_second = arg->form == SFI_CEL_FORM_TICKS ? arg->per_second : 1};
    window.bias_days = window.per_second > 1000000 ? BIAS_DAYS_NANOS : BIAS_DAYS;
    open_window(&window, state, field);
    struct division division = {.civil = fields[field].civil,
                                .bias_days = window.bias_days - window.bias_days % 7};
    sfi_cel_divisor_init(&division.unit, fields[field].unit * (uint64_t)window.per_second);
    sfi_cel_divisor_init(&division.modulus, fields[field].modulus);
    if (!eval_fields(run, op, sel, state, &window, &division)) {
        sfi_cel_call_rows(run, op, sel);
    }
}

sfi_cel_eval sfi_cel_choose_time(struct sfi_cel_lowering *low, struct sfi_cel_op *op,
                                 const char *function)
{
    (void)low;
    if (op->rep != SFI_CEL_REP_INT || op->arg_count == 0 || op->arg_count > 2 ||
        op->args[0]->type->kind != SFI_CEL_TYPE_TIMESTAMP ||
        (op->arg_count == 2 && op->args[1]->code != SFI_CEL_OP_CONST)) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (strcmp(fields[i].function, function) == 0) {
            op->call.field = (uint8_t)i;
            op->state_size = sizeof(struct zone_state);
            return eval_field;
        }
    }
    return NULL;
}
