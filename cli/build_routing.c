/*
 * build_routing.c - options of routing by an expression, checked.
 *
 * Whether the expression suits the writer (type of its result, routing values that repeat) is said
 * by the library when the writer opens.
 */
#include "build_routing.h"

#include <string.h>

static int check_combination(struct cli *cli, const struct build_routing_options *options)
{
    bool categorical = options->routing_values->given || options->infer->given;

    if (!options->expression->given) {
        return options->columns->given || categorical
                   ? cli_usage_error(cli, "--cel-column, --routing-value and "
                                          "--infer-routing-values need --cel.")
                   : 0;
    }
    if (!options->columns->given) {
        return cli_usage_error(cli, "--cel needs --cel-column NAME:TYPE for every column that the "
                                    "expression reads.");
    }
    if (options->max_keys->given) {
        return cli_usage_error(cli, "--cel excludes --max-keys-per-shard: the expression decides "
                                    "how many rows a shard has");
    }
    if (options->routing_values->given && options->infer->given) {
        return cli_usage_error(cli, "--routing-value excludes --infer-routing-values.");
    }
    if (categorical && options->shards->given) {
        return cli_usage_error(cli, "--shards does not apply: every routing value has a shard");
    }
    return 0;
}

/* Type of routing values; results of an unknown type are taken for text. */
static enum column_type value_type(const shardy_cel *cel)
{
    const char *result = shardy_cel_result_type(cel);
    enum column_type type = COLUMN_STRING;

    (void)column_type_parse(result, &type);
    return type;
}

int build_routing_values(struct cli *cli, const struct option_value *values, const shardy_cel *cel,
                         struct build_routing *routing)
{
    enum column_type type = value_type(cel);

    routing->values = cli_zeroed(values->text_count, sizeof *routing->values);
    routing->texts = cli_zeroed(values->text_count, sizeof *routing->texts);
    for (size_t i = 0; i < values->text_count; i++) {
        const char *text = values->texts[i];
        const char *expected;

        routing->value_count = i + 1;
        buffer_reserve(&routing->texts[i], 1); /* a value is never a NULL pointer */
        expected =
            column_value_parse(type, text, strlen(text), &routing->texts[i], &routing->values[i]);
        if (expected != NULL) {
            return cli_usage_error(cli,
                                   "Invalid value for '--routing-value': '%s' is not %s (the "
                                   "expression gives %s).",
                                   text, expected, column_type_name(type));
        }
    }
    return 0;
}

static void find_extra(struct build_routing *routing, const char *key_name)
{
    routing->extra = cli_zeroed(routing->specs.count, sizeof *routing->extra);
    for (size_t i = 0; i < routing->specs.count; i++) {
        const struct column_spec *spec = &routing->specs.items[i];

        if (strcmp(spec->name, "key") != 0 && strcmp(spec->name, key_name) != 0) {
            routing->extra[routing->extra_count++] = *spec;
        }
    }
}

int build_routing_init(struct cli *cli, const struct build_routing_options *options,
                       const char *key_name, struct build_routing *routing)
{
    shardy_cel_options request = SHARDY_CEL_OPTIONS_INIT;
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_cel *cel;
    int code = check_combination(cli, options);

    if (code != 0 || !options->expression->given) {
        return code;
    }
    code = column_specs_parse(cli, "--cel-column", options->columns, &routing->specs);
    if (code != 0) {
        return code;
    }
    find_extra(routing, key_name);
    request.expression = options->expression->text;
    request.columns = routing->specs.declared;
    request.column_count = routing->specs.count;
    if (shardy_cel_compile(&request, &cel, &err) != SHARDY_OK) {
        return cli_command_error(cli, "%s", err.message);
    }
    if (options->routing_values->given) {
        code = build_routing_values(cli, options->routing_values, cel, routing);
    }
    shardy_cel_free(cel);
    routing->sharding = (shardy_cel_sharding){
        .expression = request.expression,
        .columns = request.columns,
        .column_count = request.column_count,
        .routing_values = routing->values,
        .routing_value_count = routing->value_count,
        .has_routing_values = options->routing_values->given,
        .infer_routing_values = options->infer->given,
    };
    routing->use = &routing->sharding;
    return code;
}

void build_routing_clear(struct build_routing *routing)
{
    for (size_t i = 0; i < routing->value_count; i++) {
        buffer_clear(&routing->texts[i]);
    }
    cli_free(routing->texts);
    cli_free(routing->values);
    cli_free(routing->extra);
    column_specs_clear(&routing->specs);
    *routing = (struct build_routing){0};
}
