/*
 * key_sample.h - published hash vectors, edge integers and small Arrow arrays for the key tests.
 *
 * The vectors were computed with libxxhash 0.8.1 outside this library; see docs/format/keys.md.
 */
#ifndef TESTS_KEY_SAMPLE_H
#define TESTS_KEY_SAMPLE_H

#include <shardyfusion/arrow.h>
#include <shardyfusion/key.h>

#include <stdio.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum vector_kind {
    VECTOR_INT,
    VECTOR_STR,
    VECTOR_BYTES,
    VECTOR_FILL_A,    /* text of `size` letters a */
    VECTOR_FILL_COUNT /* bytes 0, 1, 2 .. modulo 256 */
};

struct key_vector {
    enum vector_kind kind;
    int64_t number;
    const char *text;
    size_t size;
    uint64_t digest;
    uint32_t shard[3]; /* digest modulo 3, 8 and 1000 */
};

static const uint32_t key_vector_moduli[3] = {3, 8, 1000};

static const struct key_vector key_vectors[] = {
    {VECTOR_STR, 0, "", 0, UINT64_C(0x2d06800538d394c2), {1, 2, 138}},
    {VECTOR_INT, INT64_C(0), NULL, 8, UINT64_C(0xc77b3abb6f87acd9), {2, 1, 897}},
    {VECTOR_INT, INT64_C(1), NULL, 8, UINT64_C(0x2fbc593564db792e), {2, 6, 78}},
    {VECTOR_INT, INT64_C(-1), NULL, 8, UINT64_C(0x5111c7e47d784413), {2, 3, 627}},
    {VECTOR_INT, INT64_C(2), NULL, 8, UINT64_C(0x2086c65c91eee243), {1, 3, 547}},
    {VECTOR_INT, INT64_C(7), NULL, 8, UINT64_C(0x81671e58d6b596af), {2, 7, 455}},
    {VECTOR_INT, INT64_C(42), NULL, 8, UINT64_C(0xd5a6f8c838df27c8), {1, 0, 720}},
    {VECTOR_INT, INT64_C(-42), NULL, 8, UINT64_C(0x3bf78c9bb5baba6b), {1, 3, 291}},
    {VECTOR_INT, INT64_C(100), NULL, 8, UINT64_C(0xb8473533128e3c5b), {1, 3, 475}},
    {VECTOR_INT, INT64_C(255), NULL, 8, UINT64_C(0x0d00568a2225a3e5), {1, 5, 885}},
    {VECTOR_INT, INT64_C(256), NULL, 8, UINT64_C(0x8822485c398fdce3), {0, 3, 211}},
    {VECTOR_INT, INT64_C(1024), NULL, 8, UINT64_C(0xce07faf9bf9708a7), {2, 7, 519}},
    {VECTOR_INT, INT64_C(123456), NULL, 8, UINT64_C(0xf3088e53441a77c5), {1, 5, 741}},
    {VECTOR_INT, INT64_C(4294967295), NULL, 8, UINT64_C(0xf0229c562a278d89), {2, 1, 665}},
    {VECTOR_INT, INT64_C(4294967296), NULL, 8, UINT64_C(0xeeab51d59cf4ca5b), {1, 3, 131}},
    {VECTOR_INT, INT64_C(1234567890123456789), NULL, 8, UINT64_C(0xed61dd35ba81fbe0), {0, 0, 448}},
    {VECTOR_INT, INT64_C(9223372036854775807), NULL, 8, UINT64_C(0xa233cf376558df46), {0, 6, 142}},
    {VECTOR_INT, INT64_MIN, NULL, 8, UINT64_C(0x828f2476789a0e5f), {0, 7, 495}},
    {VECTOR_STR, 0, "a", 1, UINT64_C(0xe6c632b61e964e1f), {1, 7, 719}},
    {VECTOR_STR, 0, "ap", 2, UINT64_C(0x2d040e5c62091323), {1, 3, 731}},
    {VECTOR_STR, 0, "eu", 2, UINT64_C(0xd7b39d218ff2f1af), {2, 7, 735}},
    {VECTOR_STR, 0, "us", 2, UINT64_C(0x0c148472ce4bd39d), {0, 5, 397}},
    {VECTOR_STR, 0, "us:3", 4, UINT64_C(0xb4cd67278e81b639), {2, 1, 897}},
    {VECTOR_STR, 0, "hello", 5, UINT64_C(0x9555e8555c62dcfd), {2, 5, 389}},
    {VECTOR_STR, 0, "key-00000001", 12, UINT64_C(0x3560c7b7f6b6d402), {0, 2, 138}},
    {VECTOR_STR, 0, "user:12345678901", 16, UINT64_C(0x95f9036b4c016968), {2, 0, 744}},
    {VECTOR_STR,
     0,
     "caf\xc3"
     "\xa9",
     5,
     UINT64_C(0x4c83dbd5f29d367f),
     {1, 7, 439}},
    {VECTOR_STR,
     0,
     "\xf0"
     "\x9f"
     "\x98"
     "\x80",
     4,
     UINT64_C(0x0b4fecf421a0808e),
     {1, 6, 278}},
    {VECTOR_STR,
     0,
     "The quick brown fox jumps over the lazy dog",
     43,
     UINT64_C(0xce7d19a5418fb365),
     {1, 5, 669}},
    {VECTOR_BYTES, 0, "\x00", 1, UINT64_C(0xc44bdff4074eecdb), {0, 3, 883}},
    {VECTOR_BYTES,
     0,
     "\xff"
     "\x00"
     "\xff",
     3,
     UINT64_C(0x2e5b600d4594b58f),
     {1, 7, 807}},
    {VECTOR_STR,
     0,
     "\x00"
     "null_byte",
     10,
     UINT64_C(0x566b2bbb3de1a23e),
     {0, 6, 718}},
    {VECTOR_BYTES,
     0,
     "\x00"
     "\x00"
     "\x00"
     "\x00"
     "\x00"
     "\x00"
     "\x00"
     "*",
     8,
     UINT64_C(0x2e4fe982b68910ac),
     {2, 4, 180}},
    {VECTOR_FILL_A, 0, NULL, 16, UINT64_C(0x13ba5039476cd10a), {2, 2, 490}},
    {VECTOR_FILL_A, 0, NULL, 17, UINT64_C(0x39127b6816c5f92a), {2, 2, 522}},
    {VECTOR_FILL_A, 0, NULL, 128, UINT64_C(0x7a22200aadc3d36c), {0, 4, 300}},
    {VECTOR_FILL_A, 0, NULL, 129, UINT64_C(0x1586e7ed07cba75b), {2, 3, 131}},
    {VECTOR_FILL_A, 0, NULL, 240, UINT64_C(0x993c46d96a01b5c6), {2, 6, 86}},
    {VECTOR_FILL_A, 0, NULL, 241, UINT64_C(0xf6cfef5c5aca1930), {0, 0, 904}},
    {VECTOR_FILL_A, 0, NULL, 256, UINT64_C(0x3fdb4ff1846c90f3), {2, 3, 779}},
    {VECTOR_FILL_A, 0, NULL, 512, UINT64_C(0x4659a548a9cc8db1), {1, 1, 377}},
    {VECTOR_FILL_A, 0, NULL, 1024, UINT64_C(0x4a5d6b09a9587a1c), {0, 4, 900}},
    {VECTOR_FILL_A, 0, NULL, 1025, UINT64_C(0xd46a63acfb8da1ea), {2, 2, 946}},
    {VECTOR_FILL_A, 0, NULL, 4096, UINT64_C(0x88a30670e919701e), {1, 6, 462}},
    {VECTOR_FILL_COUNT, 0, NULL, 16, UINT64_C(0x8355e3a6f61770db), {0, 3, 19}},
    {VECTOR_FILL_COUNT, 0, NULL, 17, UINT64_C(0x9ef341a99de37328), {1, 0, 824}},
    {VECTOR_FILL_COUNT, 0, NULL, 128, UINT64_C(0x85c6174c7ff4c46b), {0, 3, 219}},
    {VECTOR_FILL_COUNT, 0, NULL, 129, UINT64_C(0xec7642b431ba3e5a), {0, 2, 42}},
    {VECTOR_FILL_COUNT, 0, NULL, 240, UINT64_C(0x375a384d957fe865), {2, 5, 517}},
    {VECTOR_FILL_COUNT, 0, NULL, 241, UINT64_C(0x02e8cd95421c6d02), {1, 2, 418}},
    {VECTOR_FILL_COUNT, 0, NULL, 256, UINT64_C(0x9408a4433b952d71), {0, 1, 113}},
    {VECTOR_FILL_COUNT, 0, NULL, 1024, UINT64_C(0xa870f92984398d22), {1, 2, 274}},
    {VECTOR_FILL_COUNT, 0, NULL, 1025, UINT64_C(0x78c86e91ee939852), {0, 2, 994}},
    {VECTOR_FILL_COUNT, 0, NULL, 4096, UINT64_C(0xeb4b7c3707879151), {2, 1, 737}},
};

/* The key of a vector; `buffer` holds the generated ones. */
static inline shardy_key key_of_vector(const struct key_vector *vector, char buffer[4096])
{
    switch (vector->kind) {
    case VECTOR_INT:
        return shardy_key_int(vector->number);
    case VECTOR_STR:
        return shardy_key_str(vector->text, vector->size);
    case VECTOR_BYTES:
        return shardy_key_bytes(vector->text, vector->size);
    case VECTOR_FILL_A:
        memset(buffer, 'a', vector->size);
        return shardy_key_str(buffer, vector->size);
    case VECTOR_FILL_COUNT:
        for (size_t i = 0; i < vector->size; i++) {
            buffer[i] = (char)(unsigned char)i;
        }
        break;
    }
    return shardy_key_bytes(buffer, vector->size);
}

static inline void sample_release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static inline void sample_release_array(struct ArrowArray *array)
{
    array->release = NULL;
}

/* One Arrow column whose buffers belong to the caller. */
struct sample_column {
    struct ArrowSchema schema;
    struct ArrowArray array;
    const void *buffers[3];
};

static inline void sample_column_init(struct sample_column *column, const char *format,
                                      int64_t length, const void *first, const void *second)
{
    memset(column, 0, sizeof *column);
    column->buffers[1] = first;
    column->buffers[2] = second;
    column->schema.format = format;
    column->schema.name = "key";
    column->schema.release = sample_release_schema;
    column->array.length = length;
    column->array.n_buffers = strchr("iIlL", format[0]) ? 2 : 3;
    column->array.buffers = column->buffers;
    column->array.release = sample_release_array;
}

/* A record batch of up to two columns. */
struct sample_batch {
    struct ArrowSchema schema;
    struct ArrowArray array;
    struct ArrowSchema *schemas[2];
    struct ArrowArray *arrays[2];
    const void *buffers[1];
};

static inline void sample_batch_init(struct sample_batch *batch, int64_t length,
                                     struct sample_column *a, struct sample_column *b)
{
    memset(batch, 0, sizeof *batch);
    batch->schemas[0] = &a->schema;
    batch->schemas[1] = &b->schema;
    batch->arrays[0] = &a->array;
    batch->arrays[1] = &b->array;
    batch->schema.format = "+s";
    batch->schema.n_children = 2;
    batch->schema.children = batch->schemas;
    batch->schema.release = sample_release_schema;
    batch->array.length = length;
    batch->array.n_children = 2;
    batch->array.children = batch->arrays;
    batch->array.n_buffers = 1;
    batch->array.buffers = batch->buffers;
    batch->array.release = sample_release_array;
}

#endif
