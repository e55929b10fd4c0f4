/*
 * bench_cel_data.c - seeded rows for the CEL cases, as a record batch and as JSON lines.
 */
#include "bench_cel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 7

const char *const cel_regions[CEL_REGIONS] = {
    "eu",      "us",    "apac",     "latam",      "emea",   "nordics",  "benelux",
    "dach",    "uk",    "iberia",   "balkans",    "gulf",   "maghreb",  "sahel",
    "oceania", "andes", "cono-sur", "south-asia", "africa", "caribbean"};

static const char *const other_regions[] = {"antarctica", "mena", "cis", "anz", "pacific-islands"};

const struct cel_case cel_cases[5] = {
    {"cel/int-hash", CEL_INT_HASH, "shard_hash(key) % 64u", "key:int", 64, 0.5, 400},
    {"cel/in20", CEL_IN20,
     "region in [\"eu\", \"us\", \"apac\", \"latam\", \"emea\", \"nordics\", \"benelux\", "
     "\"dach\", \"uk\", \"iberia\", \"balkans\", \"gulf\", \"maghreb\", \"sahel\", \"oceania\", "
     "\"andes\", \"cono-sur\", \"south-asia\", \"africa\", \"caribbean\"] ? 0 : 1",
     "region:string", 2, 0.5, 150},
    {"cel/categorical", CEL_CATEGORICAL, "tenant + \":\" + string(tier)", "tenant:string,tier:int",
     0, 0.4, 70},
    {"cel/concat-hash", CEL_CONCAT_HASH, "shard_hash(tenant + \"/\" + user) % 256u",
     "tenant:string,user:string", 256, 0.5, 100},
    {"cel/timestamp", CEL_TIMESTAMP, "ts.getHours(\"Europe/Berlin\") * 10 + (score > 0.5 ? 1 : 0)",
     "ts:timestamp,score:double", 232, 0.4, 70},
};

char cel_values[CEL_VALUES][24];

static void texts_new(struct cel_texts *texts, int64_t rows, size_t most)
{
    texts->offsets = bench_alloc((size_t)rows + 1, sizeof *texts->offsets);
    texts->data = bench_alloc((size_t)rows, most);
}

static void texts_add(struct cel_texts *texts, int64_t row, const char *text)
{
    size_t size = strlen(text);

    memcpy(texts->data + texts->offsets[row], text, size);
    texts->offsets[row + 1] = texts->offsets[row] + (int32_t)size;
}

static void tenant_name(char *out, size_t size, uint64_t number)
{
    /* 3 to 12 bytes. */
    static const char *const stems[] = {"t", "acme", "globex", "initech-", "umbrella"};

    (void)snprintf(out, size, "%s%02llu", stems[number % 5], (unsigned long long)number);
}

static void make_values(void)
{
    for (uint32_t i = 0; i < CEL_VALUES; i++) {
        char tenant[16];

        tenant_name(tenant, sizeof tenant, i / CEL_TIERS);
        (void)snprintf(cel_values[i], sizeof cel_values[i], "%s:%u", tenant, i % CEL_TIERS);
    }
}

static void make_row(struct cel_data *data, int64_t row, uint64_t *seed, int64_t step)
{
    char text[48];
    uint64_t r = bench_random(seed);
    uint64_t region = bench_random(seed) % (CEL_REGIONS + 5);

    data->key[row] = (int64_t)bench_mix63((uint64_t)row);
    data->tier[row] = (int64_t)(r % CEL_TIERS);
    data->ts[row] = INT64_C(1735689600000000) + row * step + (int64_t)(r >> 40);
    data->score[row] = (double)(bench_random(seed) >> 11) * 0x1p-53;
    texts_add(&data->region, row,
              region < CEL_REGIONS ? cel_regions[region] : other_regions[region - CEL_REGIONS]);
    tenant_name(text, sizeof text, r / CEL_TIERS % CEL_TENANTS);
    texts_add(&data->tenant, row, text);
    (void)snprintf(text, sizeof text, "user-%llu",
                   (unsigned long long)(bench_random(seed) >> (4 + r % 40)));
    texts_add(&data->user, row, text);
}

void cel_data_make(struct cel_data *data, int64_t rows)
{
    size_t count = (size_t)rows;
    uint64_t seed = 5;
    int64_t year = INT64_C(31536000000000); /* microseconds: both changes of the clock are in it */

    data->rows = rows;
    data->key = bench_alloc(count, sizeof *data->key);
    data->tier = bench_alloc(count, sizeof *data->tier);
    data->ts = bench_alloc(count, sizeof *data->ts);
    data->score = bench_alloc(count, sizeof *data->score);
    texts_new(&data->region, rows, 16);
    texts_new(&data->tenant, rows, 16);
    texts_new(&data->user, rows, 32);
    make_values();
    for (int64_t row = 0; row < rows; row++) {
        make_row(data, row, &seed, year / rows);
    }
}

static void texts_clear(struct cel_texts *texts)
{
    free(texts->offsets);
    free(texts->data);
}

void cel_data_clear(struct cel_data *data)
{
    free(data->key);
    free(data->tier);
    free(data->ts);
    free(data->score);
    texts_clear(&data->region);
    texts_clear(&data->tenant);
    texts_clear(&data->user);
}

/* ---- record batch --------------------------------------------------------------------------- */

struct batch {
    struct ArrowSchema schemas[COLUMNS];
    struct ArrowSchema *schema_list[COLUMNS];
    struct ArrowArray arrays[COLUMNS];
    struct ArrowArray *array_list[COLUMNS];
    const void *buffers[COLUMNS][3];
    const void *none;
};

static void release_child_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static void release_child_array(struct ArrowArray *array)
{
    array->release = NULL;
}

static void release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL; /* the array owns both */
}

static void release_array(struct ArrowArray *array)
{
    free(array->private_data);
    array->release = NULL;
}

static void add_column(struct batch *batch, int i, int64_t rows, const char *name,
                       const char *format, const void *values, const struct cel_texts *texts)
{
    batch->schemas[i] =
        (struct ArrowSchema){.format = format, .name = name, .release = release_child_schema};
    batch->buffers[i][1] = texts != NULL ? texts->offsets : values;
    batch->buffers[i][2] = texts != NULL ? texts->data : NULL;
    batch->arrays[i] = (struct ArrowArray){.length = rows,
                                           .n_buffers = texts != NULL ? 3 : 2,
                                           .buffers = batch->buffers[i],
                                           .release = release_child_array};
    batch->schema_list[i] = &batch->schemas[i];
    batch->array_list[i] = &batch->arrays[i];
}

void cel_data_batch(const struct cel_data *data, struct ArrowSchema *schema,
                    struct ArrowArray *array)
{
    struct batch *batch = bench_alloc(1, sizeof *batch);
    int64_t rows = data->rows;

    add_column(batch, 0, rows, "key", "l", data->key, NULL);
    add_column(batch, 1, rows, "tier", "l", data->tier, NULL);
    add_column(batch, 2, rows, "ts", "tsu:UTC", data->ts, NULL);
    add_column(batch, 3, rows, "score", "g", data->score, NULL);
    add_column(batch, 4, rows, "region", "u", NULL, &data->region);
    add_column(batch, 5, rows, "tenant", "u", NULL, &data->tenant);
    add_column(batch, 6, rows, "user", "u", NULL, &data->user);
    *schema = (struct ArrowSchema){.format = "+s",
                                   .name = "",
                                   .n_children = COLUMNS,
                                   .children = batch->schema_list,
                                   .release = release_schema};
    *array = (struct ArrowArray){.length = rows,
                                 .n_buffers = 1,
                                 .buffers = &batch->none,
                                 .n_children = COLUMNS,
                                 .children = batch->array_list,
                                 .release = release_array,
                                 .private_data = batch};
}

/* ---- JSON lines --------------------------------------------------------------------------------
 */

static void write_text(FILE *file, const char *name, const struct cel_texts *texts, int64_t row)
{
    (void)fprintf(file, ",\"%s\":\"%.*s\"", name, texts->offsets[row + 1] - texts->offsets[row],
                  texts->data + texts->offsets[row]);
}

void cel_data_write(const struct cel_data *data, int64_t rows, const char *path)
{
    FILE *file = fopen(path, "w");

    if (file == NULL) {
        bench_die("%s: cannot be written", path);
    }
    for (int64_t row = 0; row < rows; row++) {
        (void)fprintf(file, "{\"key\":%lld,\"tier\":%lld,\"ts\":%lld,\"score\":%.17g",
                      (long long)data->key[row], (long long)data->tier[row],
                      (long long)data->ts[row], data->score[row]);
        write_text(file, "region", &data->region, row);
        write_text(file, "tenant", &data->tenant, row);
        write_text(file, "user", &data->user, row);
        (void)fputs("}\n", file);
    }
    if (fclose(file) != 0) {
        bench_die("%s: cannot be written", path);
    }
}
