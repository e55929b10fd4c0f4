/*
 * context.c - routing contexts from the command line, typed by the snapshot's manifest.
 */
#include "context.h"

#include <string.h>

#include <shardyfusion/router.h>

/* Declared type of a column; text when the snapshot does not know it. */
static enum column_type type_of(const struct session *session, const char *name)
{
    const shardy_router *router = shardy_snapshot_router(session->snapshot);
    const shardy_cel *cel = router != NULL ? shardy_router_cel(router) : NULL;
    enum column_type type = COLUMN_STRING;

    for (size_t i = 0; cel != NULL && i < shardy_cel_column_count(cel); i++) {
        const shardy_cel_column *column = shardy_cel_get_column(cel, i);

        if (strcmp(column->name, name) == 0) {
            (void)column_type_parse(column->type, &type);
        }
    }
    return type;
}

/* Entry for a name: a later one of equal names wins. */
static size_t entry_of(struct context *context, char *name)
{
    for (size_t i = 0; i < context->count; i++) {
        if (strcmp(context->names[i], name) == 0) {
            cli_free(name);
            return i;
        }
    }
    context->names[context->count] = name;
    return context->count++;
}

static int add_pair(struct cli *cli, const struct session *session, const char *pair,
                    struct context *context)
{
    const char *equals = strchr(pair, '=');
    enum column_type type;
    const char *expected;
    struct buffer *text;
    char *trimmed;
    char *message;
    size_t i;
    int code;

    if (equals == NULL) {
        message = cli_format("--routing-context must be key=value, got: '%s'", pair);
        code = cli_error_result(cli, NULL, message);
        cli_free(message);
        return code;
    }
    i = entry_of(context, cli_copy_trimmed(pair, (size_t)(equals - pair)));
    type = type_of(session, context->names[i]);
    trimmed = cli_copy_trimmed(equals + 1, strlen(equals + 1));
    text = &context->texts[i];
    text->size = 0;
    buffer_reserve(text, 1); /* a value is never a NULL pointer */
    if (type == COLUMN_STRING) {
        buffer_add(text, trimmed, strlen(trimmed));
        expected =
            column_value_parse(type, text->data, text->size, text, &context->entries[i].value);
    } else {
        expected =
            column_value_parse(type, trimmed, strlen(trimmed), text, &context->entries[i].value);
    }
    code = 0;
    if (expected != NULL) {
        message = cli_format("--routing-context %s: '%s' is not %s (the snapshot declares %s)",
                             context->names[i], trimmed, expected, column_type_name(type));
        code = cli_error_result(cli, NULL, message);
        cli_free(message);
    }
    context->entries[i].name = context->names[i];
    cli_free(trimmed);
    return code;
}

int context_parse(struct cli *cli, const struct session *session, const struct option_value *values,
                  struct context *context)
{
    int code = 0;

    *context = (struct context){0};
    if (!values->given) {
        return 0;
    }
    context->entries = cli_zeroed(values->text_count, sizeof *context->entries);
    context->names = cli_zeroed(values->text_count, sizeof *context->names);
    context->texts = cli_zeroed(values->text_count, sizeof *context->texts);
    for (size_t i = 0; code == 0 && i < values->text_count; i++) {
        code = add_pair(cli, session, values->texts[i], context);
    }
    context->value = (shardy_context){context->entries, context->count};
    context->use = &context->value;
    return code;
}

void context_clear(struct context *context)
{
    for (size_t i = 0; i < context->count; i++) {
        cli_free(context->names[i]);
        buffer_clear(&context->texts[i]);
    }
    cli_free(context->names);
    cli_free(context->texts);
    cli_free(context->entries);
    *context = (struct context){0};
}
