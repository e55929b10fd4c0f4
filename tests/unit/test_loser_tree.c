/*
 * test_loser_tree.c - merging any number of sorted sources gives one sorted order, and items with
 * equal prefixes come out in the order that the tie function wants.
 */
#include "base/loser_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#define MAX_SOURCES 40u
#define MAX_ITEMS   50u

struct merge {
    uint64_t items[MAX_SOURCES][MAX_ITEMS];
    size_t sizes[MAX_SOURCES];
    size_t at[MAX_SOURCES];
};

static bool by_source(const void *arg, uint64_t a, uint64_t b)
{
    const struct merge *m = arg;
    bool a_ended = m->at[a] == m->sizes[a];
    bool b_ended = m->at[b] == m->sizes[b];
    return a_ended || b_ended ? !a_ended : a < b;
}

static uint64_t prefix(const struct merge *m, uint64_t source)
{
    return m->at[source] < m->sizes[source] ? m->items[source][m->at[source]] : UINT64_MAX;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static void fill(struct merge *m, size_t sources, uint64_t range, unsigned *seed)
{
    for (size_t s = 0; s < sources; s++) {
        m->sizes[s] = (size_t)rand_r(seed) % MAX_ITEMS;
        m->at[s] = 0;
        for (size_t i = 0; i < m->sizes[s]; i++) {
            uint64_t value = (uint64_t)rand_r(seed) % range;
            m->items[s][i] = rand_r(seed) % 9 ? value : UINT64_MAX - value % 2;
        }
        qsort(m->items[s], m->sizes[s], sizeof m->items[s][0], compare);
    }
}

static void check(size_t sources, uint64_t range, unsigned seed)
{
    struct merge m;
    struct sfi_loser nodes[MAX_SOURCES];
    struct sfi_loser first[MAX_SOURCES];
    struct sfi_loser winners[2 * MAX_SOURCES];
    struct sfi_losers tree = {nodes, sources, by_source, &m};
    size_t total = 0;
    uint64_t last = 0;
    uint64_t last_source = 0;

    fill(&m, sources, range, &seed);
    for (size_t s = 0; s < sources; s++) {
        first[s].prefix = prefix(&m, s);
        first[s].source = s;
        total += m.sizes[s];
    }
    sfi_losers_build(&tree, first, winners);
    for (size_t i = 0; i < total; i++) {
        uint64_t source = nodes[0].source;
        assert_true(m.at[source] < m.sizes[source]);
        uint64_t item = m.items[source][m.at[source]];
        assert_int_equal(item, nodes[0].prefix);
        assert_true(i == 0 || item > last || (item == last && source >= last_source));
        last = item;
        last_source = source;
        m.at[source]++;
        sfi_losers_replay(&tree, source, prefix(&m, source));
    }
    assert_int_equal(m.at[nodes[0].source], m.sizes[nodes[0].source]);
}

static void test_merges(void **state)
{
    (void)state;
    for (size_t sources = 1; sources <= MAX_SOURCES; sources++) {
        for (unsigned seed = 1; seed <= 50; seed++) {
            check(sources, seed % 2 ? 7 : UINT64_MAX, seed * 97);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_merges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
