/*
 * check_types.c - which type suits which, and what unknown types turn out to be.
 *
 * Unknowns come from type parameters of signatures and from empty lists, maps and optionals. As the
 * specification's suite asks (type_deduction), an unknown is not fixed by the first type that it
 * meets: a later one that suits the first makes it more general (int, then dyn: dyn). All types of
 * nodes are therefore read only at the end, by sfi_cel_final(). Joins are exact least upper bounds:
 * a value never has another kind than its static type says, which evaluators rely on.
 */
#include "cel/check_internal.h"

#include "base/limits.h"

void *sfi_cel_check_alloc(struct sfi_cel_checker *c, size_t size)
{
    void *block = c->is_failed ? NULL : sfi_cel_alloc(c->arena, size);
    if (block == NULL) {
        c->is_failed = true;
    }
    return block;
}

shardy_status sfi_cel_check_broken(struct sfi_cel_checker *c)
{
    if (c->is_complex) {
        return sfi_fail(c->err, SHARDY_LIMIT,
                        "the types in the expression are too large: nested deeper than %u or "
                        "referring to one another too often; wrap parts into dyn()",
                        SFI_CEL_TYPE_DEPTH);
    }
    return sfi_cel_arena_status(c->arena, "the expression", c->err);
}

static bool step(struct sfi_cel_checker *c, unsigned depth)
{
    if (--c->steps < 0 || depth > SFI_CEL_TYPE_DEPTH) {
        c->is_failed = true;
        c->is_complex = true;
    }
    return !c->is_failed;
}

/* Room for one more element of an array in the arena: the old one is left behind. */
static bool grow(struct sfi_cel_checker *c, void **items, uint32_t count, uint32_t *capacity,
                 size_t size)
{
    if (count < *capacity) {
        return true;
    }
    uint32_t wanted = *capacity == 0 ? 16 : *capacity * 2;
    void *made = sfi_cel_check_alloc(c, wanted * size);
    if (made == NULL) {
        return false;
    }
    if (count > 0) {
        memcpy(made, *items, count * size);
    }
    *items = made;
    *capacity = wanted;
    return true;
}

const struct sfi_cel_type *sfi_cel_unknown(struct sfi_cel_checker *c)
{
    struct sfi_cel_type *type = sfi_cel_check_alloc(c, sizeof *type);
    void *bound = (void *)c->bound;
    if (type == NULL ||
        !grow(c, &bound, c->bound_count, &c->bound_capacity, sizeof(const struct sfi_cel_type *))) {
        return &sfi_cel_type_dyn;
    }
    c->bound = bound;
    *type = (struct sfi_cel_type){.kind = SFI_CEL_TYPE_PARAM, .number = c->bound_count};
    c->bound[c->bound_count++] = NULL;
    return type;
}

const struct sfi_cel_type *sfi_cel_make_type(struct sfi_cel_checker *c, enum sfi_cel_type_kind kind,
                                             const struct sfi_cel_type *a,
                                             const struct sfi_cel_type *b)
{
    struct sfi_cel_type *type = sfi_cel_check_alloc(c, sizeof *type);
    if (type == NULL) {
        return &sfi_cel_type_dyn;
    }
    *type = (struct sfi_cel_type){.kind = kind, .param = {a, b}};
    return type;
}

/* A copy of a type with other parameters; the type itself when they are the same. */
static const struct sfi_cel_type *with_params(struct sfi_cel_checker *c,
                                              const struct sfi_cel_type *type,
                                              const struct sfi_cel_type *const param[3])
{
    if (param[0] == type->param[0] && param[1] == type->param[1] && param[2] == type->param[2]) {
        return type;
    }
    struct sfi_cel_type *made = sfi_cel_check_alloc(c, sizeof *made);
    if (made == NULL) {
        return &sfi_cel_type_dyn;
    }
    *made = (struct sfi_cel_type){type->kind, type->number, {param[0], param[1], param[2]}};
    return made;
}

const struct sfi_cel_type *sfi_cel_instance(struct sfi_cel_checker *c,
                                            const struct sfi_cel_type *type,
                                            const struct sfi_cel_type *fresh[SFI_CEL_SIG_PARAMS])
{
    if (type->kind == SFI_CEL_TYPE_PARAM) {
        uint32_t number = type->number % SFI_CEL_SIG_PARAMS;
        if (fresh[number] == NULL) {
            fresh[number] = sfi_cel_unknown(c);
        }
        return fresh[number];
    }
    if (type->param[0] == NULL || type->kind == SFI_CEL_TYPE_WRAPPER) {
        return type;
    }
    const struct sfi_cel_type *param[3] = {NULL, NULL, NULL};
    for (unsigned i = 0; i < 3 && type->param[i] != NULL; i++) {
        param[i] = sfi_cel_instance(c, type->param[i], fresh);
    }
    return with_params(c, type, param);
}

/* Chains of unknowns count as work: they may be as long as the expression. */
const struct sfi_cel_type *sfi_cel_known(struct sfi_cel_checker *c, const struct sfi_cel_type *type)
{
    while (type->kind == SFI_CEL_TYPE_PARAM && c->bound[type->number] != NULL) {
        type = c->bound[type->number];
        c->steps--;
    }
    return type;
}

/* The last unknown of a chain of unknowns, or the type itself. */
static const struct sfi_cel_type *last_unknown(struct sfi_cel_checker *c,
                                               const struct sfi_cel_type *type)
{
    while (type->kind == SFI_CEL_TYPE_PARAM && c->bound[type->number] != NULL &&
           c->bound[type->number]->kind == SFI_CEL_TYPE_PARAM) {
        type = c->bound[type->number];
        c->steps--;
    }
    return type;
}

static void bind(struct sfi_cel_checker *c, const struct sfi_cel_type *unknown,
                 const struct sfi_cel_type *type)
{
    void *undo = c->undo;
    if (!grow(c, &undo, c->undo_count, &c->undo_capacity, sizeof *c->undo)) {
        return;
    }
    c->undo = undo;
    c->undo[c->undo_count++] = (struct sfi_cel_undo){unknown->number, c->bound[unknown->number]};
    c->bound[unknown->number] = type;
}

void sfi_cel_check_undo(struct sfi_cel_checker *c, uint32_t mark)
{
    while (c->undo_count > mark) {
        c->undo_count--;
        c->bound[c->undo[c->undo_count].number] = c->undo[c->undo_count].before;
    }
}

/* The occurs check: a type that held itself would never end. */
static bool holds(struct sfi_cel_checker *c, const struct sfi_cel_type *type,
                  const struct sfi_cel_type *unknown, unsigned depth)
{
    type = last_unknown(c, type);
    if (!step(c, depth)) {
        return true;
    }
    if (type->kind == SFI_CEL_TYPE_PARAM) {
        return type->number == unknown->number ||
               (c->bound[type->number] != NULL &&
                holds(c, c->bound[type->number], unknown, depth + 1));
    }
    for (unsigned i = 0; i < 3 && type->param[i] != NULL; i++) {
        if (holds(c, type->param[i], unknown, depth + 1)) {
            return true;
        }
    }
    return false;
}

static const struct sfi_cel_type *param_of(const struct sfi_cel_type *type, unsigned i)
{
    return type->param[i] == NULL ? &sfi_cel_type_dyn : type->param[i];
}

static unsigned param_count(enum sfi_cel_type_kind kind)
{
    switch (kind) {
    case SFI_CEL_TYPE_LIST:
    case SFI_CEL_TYPE_OPTIONAL:
        return 1;
    case SFI_CEL_TYPE_MAP:
        return 2;
    case SFI_CEL_TYPE_TUPLE:
        return 3;
    default:
        return 0;
    }
}

static const struct sfi_cel_type *join(struct sfi_cel_checker *c, const struct sfi_cel_type *a,
                                       const struct sfi_cel_type *b, unsigned depth)
{
    if (a == b || !step(c, depth)) {
        return a;
    }
    if (a->kind == SFI_CEL_TYPE_DYN || b->kind == SFI_CEL_TYPE_DYN) {
        return &sfi_cel_type_dyn;
    }
    /* An unknown has taken in the other one already. */
    if (a->kind == SFI_CEL_TYPE_PARAM || b->kind == SFI_CEL_TYPE_PARAM) {
        return a->kind == SFI_CEL_TYPE_PARAM ? a : b;
    }
    if (a->kind == SFI_CEL_TYPE_NULL || b->kind == SFI_CEL_TYPE_NULL) {
        return a->kind == SFI_CEL_TYPE_NULL ? b : a;
    }
    if (a->kind == SFI_CEL_TYPE_WRAPPER || b->kind == SFI_CEL_TYPE_WRAPPER) {
        return a->kind == SFI_CEL_TYPE_WRAPPER ? a : b;
    }
    if (a->kind == SFI_CEL_TYPE_TYPE) {
        return sfi_cel_same(c, a, b) ? a : &sfi_cel_type_type;
    }
    const struct sfi_cel_type *param[3] = {NULL, NULL, NULL};
    for (unsigned i = 0; i < param_count(a->kind); i++) {
        param[i] = join(c, param_of(a, i), param_of(b, i), depth + 1);
    }
    return param_count(a->kind) == 0 ? a : with_params(c, a, param);
}

static bool suits(struct sfi_cel_checker *c, const struct sfi_cel_type *actual,
                  const struct sfi_cel_type *target, unsigned depth);

/* Whether an unknown may stand for a type, too; it does from now on. */
static bool take_in(struct sfi_cel_checker *c, const struct sfi_cel_type *unknown,
                    const struct sfi_cel_type *type, unsigned depth)
{
    const struct sfi_cel_type *before = c->bound[unknown->number];
    if (before == NULL) {
        if (holds(c, type, unknown, depth + 1)) {
            return false;
        }
        bind(c, unknown, type);
        return true;
    }
    if (!suits(c, type, before, depth + 1)) {
        return false;
    }
    const struct sfi_cel_type *joined = join(c, type, before, depth + 1);
    if (joined != before && !holds(c, joined, unknown, depth + 1)) {
        bind(c, unknown, joined);
    }
    return true;
}

/*
 * A value of any type goes where the target's unknowns stand for its parts: they are dyn, too. Left
 * open, a later use would settle them, and dyn(x)["a"] + 1 would count as proof that it is an int.
 */
static void open_up(struct sfi_cel_checker *c, const struct sfi_cel_type *target, unsigned depth)
{
    target = last_unknown(c, target);
    if (!step(c, depth)) {
        return;
    }
    if (target->kind == SFI_CEL_TYPE_PARAM) {
        bind(c, target, &sfi_cel_type_dyn);
        return;
    }
    for (unsigned i = 0; i < param_count(target->kind); i++) {
        open_up(c, param_of(target, i), depth + 1);
    }
}

static bool takes_null(const struct sfi_cel_type *type)
{
    switch (type->kind) {
    case SFI_CEL_TYPE_NULL:
    case SFI_CEL_TYPE_TIMESTAMP:
    case SFI_CEL_TYPE_DURATION:
    case SFI_CEL_TYPE_OPTIONAL:
    case SFI_CEL_TYPE_WRAPPER:
    case SFI_CEL_TYPE_IP:
    case SFI_CEL_TYPE_CIDR:
    case SFI_CEL_TYPE_TUPLE:
        return true;
    default:
        return false;
    }
}

/*
 * Whether to bind the unknown `a` rather than `b`: a free one rather than making the other more
 * general, and of two free ones the newer, which keeps chains short.
 */
static bool prefers(const struct sfi_cel_checker *c, const struct sfi_cel_type *a,
                    const struct sfi_cel_type *b)
{
    return a->kind == SFI_CEL_TYPE_PARAM && c->bound[a->number] == NULL &&
           (c->bound[b->number] != NULL || a->number > b->number);
}

static bool suits(struct sfi_cel_checker *c, const struct sfi_cel_type *actual,
                  const struct sfi_cel_type *target, unsigned depth)
{
    actual = last_unknown(c, actual);
    target = last_unknown(c, target);
    if (actual == target) {
        return true;
    }
    if (!step(c, depth)) {
        return false;
    }
    if (target->kind == SFI_CEL_TYPE_PARAM) {
        if (actual->kind == SFI_CEL_TYPE_PARAM && actual->number == target->number) {
            return true;
        }
        return prefers(c, actual, target) ? take_in(c, actual, target, depth)
                                          : take_in(c, target, actual, depth);
    }
    if (actual->kind == SFI_CEL_TYPE_PARAM) {
        return take_in(c, actual, target, depth);
    }
    if (actual->kind == SFI_CEL_TYPE_DYN || target->kind == SFI_CEL_TYPE_DYN) {
        open_up(c, target, depth + 1);
        return true;
    }
    if (actual->kind == SFI_CEL_TYPE_NULL || target->kind == SFI_CEL_TYPE_NULL) {
        return takes_null(actual->kind == SFI_CEL_TYPE_NULL ? target : actual);
    }
    if (actual->kind == SFI_CEL_TYPE_WRAPPER) {
        actual = param_of(actual, 0);
    }
    if (target->kind == SFI_CEL_TYPE_WRAPPER) {
        target = param_of(target, 0);
    }
    if (actual->kind != target->kind) {
        return false;
    }
    for (unsigned i = 0; i < param_count(actual->kind); i++) {
        if (!suits(c, param_of(actual, i), param_of(target, i), depth + 1)) {
            return false;
        }
    }
    return true;
}

bool sfi_cel_suits_all(struct sfi_cel_checker *c, const struct sfi_cel_type *const *actual,
                       const struct sfi_cel_type *const *target, size_t count)
{
    uint32_t mark = c->undo_count;
    for (size_t i = 0; i < count; i++) {
        if (!suits(c, actual[i], target[i], 0) || c->is_failed) {
            sfi_cel_check_undo(c, mark);
            return false;
        }
    }
    return true;
}

bool sfi_cel_suits(struct sfi_cel_checker *c, const struct sfi_cel_type *actual,
                   const struct sfi_cel_type *target)
{
    return sfi_cel_suits_all(c, &actual, &target, 1);
}

const struct sfi_cel_type *sfi_cel_join(struct sfi_cel_checker *c, const struct sfi_cel_type *a,
                                        const struct sfi_cel_type *b)
{
    return join(c, a, b, 0);
}

const struct sfi_cel_type *sfi_cel_join_element(struct sfi_cel_checker *c,
                                                const struct sfi_cel_type *so_far,
                                                const struct sfi_cel_type *type)
{
    if (so_far == NULL) {
        return type;
    }
    return sfi_cel_suits(c, so_far, type) ? sfi_cel_join(c, so_far, type) : &sfi_cel_type_dyn;
}

static bool same(struct sfi_cel_checker *c, const struct sfi_cel_type *a,
                 const struct sfi_cel_type *b, unsigned depth)
{
    a = sfi_cel_known(c, a);
    b = sfi_cel_known(c, b);
    if (a == b) {
        return true;
    }
    if (!step(c, depth) || a->kind != b->kind ||
        (a->kind == SFI_CEL_TYPE_PARAM && a->number != b->number)) {
        return false;
    }
    for (unsigned i = 0; i < 3 && (a->param[i] != NULL || b->param[i] != NULL); i++) {
        if (!same(c, param_of(a, i), param_of(b, i), depth + 1)) {
            return false;
        }
    }
    return true;
}

bool sfi_cel_same(struct sfi_cel_checker *c, const struct sfi_cel_type *a,
                  const struct sfi_cel_type *b)
{
    return same(c, a, b, 0);
}

static bool is_settled(struct sfi_cel_checker *c, const struct sfi_cel_type *type, unsigned depth)
{
    type = sfi_cel_known(c, type);
    if (!step(c, depth) || type->kind == SFI_CEL_TYPE_DYN || type->kind == SFI_CEL_TYPE_PARAM) {
        return false;
    }
    for (unsigned i = 0; i < param_count(type->kind); i++) {
        if (!is_settled(c, param_of(type, i), depth + 1)) {
            return false;
        }
    }
    return true;
}

bool sfi_cel_is_settled(struct sfi_cel_checker *c, const struct sfi_cel_type *type)
{
    return is_settled(c, type, 0);
}

static const struct sfi_cel_type *settle(struct sfi_cel_checker *c, const struct sfi_cel_type *type,
                                         unsigned depth)
{
    type = sfi_cel_known(c, type);
    if (!step(c, depth) || type->kind == SFI_CEL_TYPE_PARAM) {
        return &sfi_cel_type_dyn;
    }
    const struct sfi_cel_type *param[3] = {NULL, NULL, NULL};
    for (unsigned i = 0; i < 3 && type->param[i] != NULL; i++) {
        param[i] = settle(c, type->param[i], depth + 1);
    }
    return with_params(c, type, param);
}

const struct sfi_cel_type *sfi_cel_final(struct sfi_cel_checker *c, const struct sfi_cel_type *type)
{
    return settle(c, type, 0);
}

void sfi_cel_set_type(struct sfi_cel_checker *c, struct sfi_cel_node *node,
                      const struct sfi_cel_type *type)
{
    node->type = type;
    if (type->kind != SFI_CEL_TYPE_PARAM && type->param[0] == NULL) {
        return;
    }
    struct sfi_cel_pending *pending = sfi_cel_check_alloc(c, sizeof *pending);
    if (pending != NULL) {
        *pending = (struct sfi_cel_pending){node, c->pending};
        c->pending = pending;
    }
}
