/*
 * loser_tree.h - merge of sorted sources by a tree of losers (Knuth, TAOCP 3, 5.4.1): one
 * comparison a level and no branch that depends on the data, as long as 8-byte prefixes differ.
 */
#ifndef SFI_BASE_LOSER_TREE_H
#define SFI_BASE_LOSER_TREE_H

#include <stdbool.h>
#include <stdint.h>

/* A source with the prefix of its current item. An ended source has prefix UINT64_MAX. */
struct sfi_loser {
    uint64_t prefix;
    uint64_t source;
};

/* Order of two sources whose prefixes are equal; ended sources come last. */
typedef bool (*sfi_loser_less_fn)(const void *arg, uint64_t a, uint64_t b);

/* `nodes` has `count` elements, count >= 1; nodes[0] is the winner. */
struct sfi_losers {
    struct sfi_loser *nodes;
    uint64_t count;
    sfi_loser_less_fn less;
    const void *arg;
};

/* The item of `source`, which was the winner, was replaced by one with this prefix. */
static inline void sfi_losers_replay(const struct sfi_losers *tree, uint64_t source,
                                     uint64_t prefix)
{
    struct sfi_loser moving = {prefix, source};
    for (uint64_t at = (source + tree->count) / 2; at >= 1; at /= 2) {
        struct sfi_loser *node = &tree->nodes[at];
        bool swap = node->prefix < moving.prefix;
        if (__builtin_expect(node->prefix == moving.prefix, 0)) {
            swap = tree->less(tree->arg, node->source, moving.source);
        }
        uint64_t mask = 0 - (uint64_t)swap;
        uint64_t prefixes = (node->prefix ^ moving.prefix) & mask;
        uint64_t sources = (node->source ^ moving.source) & mask;
        node->prefix ^= prefixes;
        node->source ^= sources;
        moving.prefix ^= prefixes;
        moving.source ^= sources;
    }
    tree->nodes[0] = moving;
}

/*
 * Build the tree: first[i] is the item of source i. `winners` is scratch for 2 * count elements.
 */
static inline void sfi_losers_build(const struct sfi_losers *tree, const struct sfi_loser *first,
                                    struct sfi_loser *winners)
{
    for (uint64_t i = 0; i < tree->count; i++) {
        winners[tree->count + i] = first[i];
    }
    for (uint64_t at = tree->count - 1; at >= 1; at--) {
        struct sfi_loser a = winners[2 * at];
        struct sfi_loser b = winners[2 * at + 1];
        bool b_first =
            a.prefix == b.prefix ? tree->less(tree->arg, b.source, a.source) : b.prefix < a.prefix;
        winners[at] = b_first ? b : a;
        tree->nodes[at] = b_first ? a : b;
    }
    tree->nodes[0] = winners[tree->count > 1 ? 1 : tree->count];
}

#endif
