/*
 * ini.c - parse the shared credentials and config files in place.
 *
 * Lines are "[section]", "key = value", comments (# or ; first) and indented lines, which belong to
 * the key above (settings of a service) and are skipped. " #" and " ;" end a value, but not one of
 * credential_process, whose text is a command. Later lines win.
 */
#include "aws/ini.h"

#include "aws/secret.h"
#include "base/limits.h"
#include "base/memory.h"

#include <string.h>

struct parser {
    struct sfi_ini *ini;
    const char *path;
    size_t line;
    const char *section; /* NULL before the first header */
    bool has_key;        /* an indented line continues it */
    shardy_error *err;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static char *trim(char *text)
{
    while (is_blank(*text)) {
        text++;
    }
    size_t size = strlen(text);
    while (size > 0 && is_blank(text[size - 1])) {
        size--;
    }
    text[size] = '\0';
    return text;
}

static shardy_status bad(const struct parser *p, const char *what)
{
    return sfi_fail(p->err, SHARDY_INPUT, "%s line %zu: %s", p->path, p->line, what);
}

static shardy_status add(struct parser *p, const char *key, const char *value)
{
    void *entries = p->ini->entries;
    if (!sfi_array_grow(&entries, &p->ini->capacity, p->ini->count + 1, sizeof *p->ini->entries)) {
        return sfi_fail_memory(p->err, p->ini->capacity * sizeof *p->ini->entries);
    }
    p->ini->entries = entries;
    p->ini->entries[p->ini->count++] = (struct sfi_ini_entry){p->section, key, value};
    return SHARDY_OK;
}

/* Text between brackets to "kind name" or "name": one blank, quotes removed. */
static char *normal_section(char *text)
{
    text = trim(text);
    char *name = text + strcspn(text, " \t");
    if (!*name) {
        return text;
    }
    char *rest = trim(name + 1);
    size_t size = strlen(rest);
    if (size >= 2 && (rest[0] == '"' || rest[0] == '\'') && rest[size - 1] == rest[0]) {
        rest[size - 1] = '\0';
        rest++;
        size -= 2;
    }
    *name = ' ';
    memmove(name + 1, rest, size + 1);
    return text;
}

static shardy_status parse_header(struct parser *p, char *line)
{
    char *end = strrchr(line, ']');
    /* "[name] # remark": the last bracket may stand in the remark. */
    char *first = strchr(line, ']');
    if (first && first != end && strchr("#; \t", first[1])) {
        end = first;
    }
    if (!end) {
        return bad(p, "expected ']' at the end of the section");
    }
    *end = '\0';
    char *rest = trim(end + 1);
    if (*rest && *rest != '#' && *rest != ';') {
        return bad(p, "text behind the section");
    }
    p->section = normal_section(line + 1);
    p->has_key = false;
    return *p->section ? add(p, NULL, "") : bad(p, "the section has no name");
}

static void cut_remark(char *value)
{
    for (char *at = value; *at; at++) {
        if ((*at == '#' || *at == ';') && at > value && is_blank(at[-1])) {
            *at = '\0';
            return;
        }
    }
}

static shardy_status parse_pair(struct parser *p, char *line)
{
    char *equals = strpbrk(line, "=:");
    if (!equals) {
        return bad(p, "expected \"name = value\"");
    }
    if (!p->section) {
        return bad(p, "a setting before the first [section]");
    }
    *equals = '\0';
    char *key = trim(line);
    for (char *c = key; *c; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    }
    if (!*key) {
        return bad(p, "the setting has no name");
    }
    char *value = equals + 1;
    if (strcmp(key, "credential_process") != 0) {
        cut_remark(value);
    }
    p->has_key = true;
    return add(p, key, trim(value));
}

static shardy_status parse_line(struct parser *p, char *line)
{
    bool indented = is_blank(*line);
    char *text = trim(line);
    if (!*text || *text == '#' || *text == ';' || (indented && p->has_key)) {
        return SHARDY_OK;
    }
    return *text == '[' ? parse_header(p, text) : parse_pair(p, text);
}

shardy_status sfi_ini_parse(struct sfi_ini *ini, char *text, size_t size, const char *path,
                            shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    struct parser p = {ini, path, 0, NULL, false, err};
    memset(ini, 0, sizeof *ini);
    ini->text = text;
    if (strlen(text) != size) {
        st = sfi_fail(err, SHARDY_INPUT, "%s contains a NUL byte", path);
        goto out;
    }
    char *at = strncmp(text, "\xEF\xBB\xBF", 3) == 0 ? text + 3 : text;
    while (*at) {
        size_t length = strcspn(at, "\n");
        char *next = at + length + (at[length] == '\n');
        p.line++;
        if (length > SFI_AWS_LINE_MAX) {
            st = sfi_fail(err, SHARDY_LIMIT, "%s line %zu: longer than %u bytes", path, p.line,
                          SFI_AWS_LINE_MAX);
            goto out;
        }
        at[length] = '\0';
        SFI_TRY(parse_line(&p, at));
        at = next;
    }
out:
    if (st != SHARDY_OK) {
        sfi_ini_clear(ini);
    }
    return st;
}

void sfi_ini_clear(struct sfi_ini *ini)
{
    sfi_secret_free(ini->text);
    sfi_free(ini->entries);
    memset(ini, 0, sizeof *ini);
}

static bool section_is(const char *section, const char *kind, const char *name)
{
    size_t size = strlen(kind);
    return strncmp(section, kind, size) == 0 && strcmp(section + size, name) == 0;
}

const char *sfi_ini_get(const struct sfi_ini *ini, const char *kind, const char *name,
                        const char *key)
{
    for (size_t i = ini->count; i-- > 0;) {
        const struct sfi_ini_entry *entry = &ini->entries[i];
        if (entry->key && strcmp(entry->key, key) == 0 && section_is(entry->section, kind, name)) {
            return entry->value;
        }
    }
    return NULL;
}

bool sfi_ini_has(const struct sfi_ini *ini, const char *kind, const char *name)
{
    for (size_t i = 0; i < ini->count; i++) {
        if (section_is(ini->entries[i].section, kind, name)) {
            return true;
        }
    }
    return false;
}
