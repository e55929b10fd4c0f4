/*
 * rules.c - fault rules: parse "fault=reset after=1000 method=GET match=_CURRENT nth=3 count=1",
 * and find the rule for a request. Values are percent-decoded. README.md describes every word.
 */
#include "proxy.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULES_MAX 256

/* What a fault needs, and what its rule says when the command does not. */
static const struct kind {
    const char *name;
    enum fault fault;
    bool needs_answer, canned;
    int status;
    const char *code;
} kinds[] = {
    {"delay", FAULT_DELAY, false, false, 0, ""},
    {"drop", FAULT_DROP, false, true, 0, ""},
    {"apply-drop", FAULT_APPLY_DROP, true, false, 0, ""},
    {"reset", FAULT_RESET, true, false, 0, ""},
    {"truncate", FAULT_TRUNCATE, true, false, 0, ""},
    {"length-more", FAULT_LENGTH_MORE, true, false, 0, ""},
    {"length-less", FAULT_LENGTH_LESS, true, false, 0, ""},
    {"longer", FAULT_LONGER, true, false, 0, ""},
    {"duplicate", FAULT_DUPLICATE, true, false, 0, ""},
    {"status", FAULT_STATUS, false, true, 503, NULL},
    {"slow-down", FAULT_STATUS, false, true, 503, "SlowDown"},
    {"conflict", FAULT_STATUS, false, true, 409, "ConditionalRequestConflict"},
    {"expired-token", FAULT_STATUS, false, true, 400, "ExpiredToken"},
    {"request-timeout", FAULT_STATUS, false, true, 400, "RequestTimeout"},
    {"time-skewed", FAULT_STATUS, false, true, 403, "RequestTimeTooSkewed"},
    {"complete-error", FAULT_COMPLETE_ERROR, false, true, 200, "InternalError"},
    {"wrong-range", FAULT_WRONG_RANGE, true, false, 0, ""},
    {"whole", FAULT_WHOLE, false, false, 0, ""},
    {"multipart", FAULT_MULTIPART, true, false, 0, ""},
    {"strip-etag", FAULT_STRIP_ETAG, true, false, 0, ""},
    {"flip", FAULT_FLIP, true, false, 0, ""},
    {"stall", FAULT_STALL, true, false, 0, ""},
    {"reorder", FAULT_REORDER, true, false, 0, ""},
    {"ignore-conditionals", FAULT_IGNORE_CONDITIONALS, false, false, 0, ""},
    {"redirect", FAULT_REDIRECT, false, true, 301, "PermanentRedirect"},
    {"header", FAULT_HEADER, true, false, 0, ""},
    {"remember", FAULT_REMEMBER, true, false, 0, ""},
    {"replay", FAULT_REPLAY, false, true, 0, ""},
};

static const struct {
    int status;
    const char *code;
} codes[] = {
    {400, "BadRequest"},        {401, "Unauthorized"},       {403, "AccessDenied"},
    {404, "NoSuchKey"},         {409, "OperationAborted"},   {412, "PreconditionFailed"},
    {416, "InvalidRange"},      {429, "TooManyRequests"},    {500, "InternalError"},
    {502, "BadGateway"},        {503, "ServiceUnavailable"}, {504, "GatewayTimeout"},
    {307, "TemporaryRedirect"}, {301, "PermanentRedirect"},
};

static struct rule rules[RULES_MAX];
static size_t rule_count;
static int last_id;

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static void decode(char *text)
{
    char *out = text;
    for (; *text; text++) {
        if (*text == '%' && hex(text[1]) >= 0 && hex(text[2]) >= 0) {
            *out++ = (char)(hex(text[1]) * 16 + hex(text[2]));
            text += 2;
        } else {
            *out++ = *text;
        }
    }
    *out = '\0';
}

static bool set_text(struct rule *rule, const char *name, const char *value)
{
    const struct {
        const char *name;
        char *out;
        size_t size;
    } texts[] = {
        {"method", rule->method, sizeof rule->method},
        {"match", rule->match, sizeof rule->match},
        {"glob", rule->glob, sizeof rule->glob},
        {"code", rule->code, sizeof rule->code},
        {"retry-after", rule->retry_after, sizeof rule->retry_after},
        {"region", rule->region, sizeof rule->region},
        {"location", rule->location, sizeof rule->location},
        {"set", rule->set, sizeof rule->set},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(name, texts[i].name) == 0) {
            snprintf(texts[i].out, texts[i].size, "%s", value);
            decode(texts[i].out);
            return true;
        }
    }
    return false;
}

static bool set_number(struct rule *rule, const char *name, const char *value)
{
    const struct {
        const char *name;
        uint64_t *out;
    } numbers[] = {
        {"nth", &rule->nth},     {"count", &rule->count}, {"delay-ms", &rule->delay_ms},
        {"after", &rule->after}, {"by", &rule->by},       {"at", &rule->at},
        {"rate", &rule->rate},
    };
    char *end = NULL;
    uint64_t number = strtoull(value, &end, 10);
    if (end == value || *end) {
        return false;
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            *numbers[i].out = number;
            return true;
        }
    }
    const struct {
        const char *name;
        bool *out;
    } flags[] = {{"apply", &rule->apply}, {"close", &rule->hang_up}, {"first", &rule->first}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (strcmp(name, flags[i].name) == 0) {
            *flags[i].out = number != 0;
            return true;
        }
    }
    if (strcmp(name, "status") == 0 && number >= 100 && number < 600) {
        rule->status = (int)number;
        return true;
    }
    return false;
}

static bool set_fault(struct rule *rule, const char *value)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(value, kinds[i].name) == 0) {
            rule->fault = kinds[i].fault;
            rule->name = kinds[i].name;
            if (kinds[i].status && !rule->status) {
                rule->status = kinds[i].status;
            }
            if (kinds[i].code && !rule->code[0]) {
                snprintf(rule->code, sizeof rule->code, "%s", kinds[i].code);
            }
            return true;
        }
    }
    return false;
}

static void default_code(struct rule *rule)
{
    snprintf(rule->code, sizeof rule->code, "%s", "Error");
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (codes[i].status == rule->status) {
            snprintf(rule->code, sizeof rule->code, "%s", codes[i].code);
        }
    }
}

bool rule_parse(const char *words, struct rule *rule, struct buf *problem)
{
    char text[4096];
    char *rest = NULL;
    *rule = (struct rule){.count = UINT64_MAX, .at = UINT64_MAX, .by = 1};
    if (strlen(words) >= sizeof text) {
        buf_text(problem, "the rule is too long");
        return false;
    }
    snprintf(text, sizeof text, "%s", words);
    for (char *word = strtok_r(text, " \r\n", &rest); word; word = strtok_r(NULL, " \r\n", &rest)) {
        char *value = strchr(word, '=');
        bool good = value != NULL;
        if (good) {
            *value++ = '\0';
            good = strcmp(word, "fault") == 0
                       ? set_fault(rule, value)
                       : set_text(rule, word, value) || set_number(rule, word, value);
        }
        if (!good) {
            buf_format(problem, "not understood: %s%s%s", word, value ? "=" : "",
                       value ? value : "");
            return false;
        }
    }
    if (rule->fault == FAULT_NONE) {
        buf_text(problem, "fault= is missing");
        return false;
    }
    if (!rule->code[0]) {
        default_code(rule);
    }
    return true;
}

static const struct kind *kind_of(const struct rule *rule)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].fault == rule->fault) {
            return &kinds[i];
        }
    }
    return &kinds[0];
}

bool rule_needs_answer(const struct rule *rule)
{
    return kind_of(rule)->needs_answer || (rule->apply && kind_of(rule)->canned);
}

bool rule_is_canned(const struct rule *rule)
{
    return kind_of(rule)->canned && !rule->apply;
}

int rules_add(const struct rule *rule)
{
    if (rule_count == RULES_MAX) {
        return 0;
    }
    rules[rule_count] = *rule;
    rules[rule_count++].id = ++last_id;
    return last_id;
}

void rules_clear(void)
{
    rule_count = 0;
}

static bool wants(const struct rule *rule, uint64_t number, const char *method, const char *target)
{
    return rule->count > 0 && (!rule->nth || rule->nth == number) &&
           (!rule->method[0] || strcmp(rule->method, method) == 0) &&
           (!rule->match[0] || strstr(target, rule->match)) &&
           (!rule->glob[0] || fnmatch(rule->glob, target, 0) == 0);
}

bool rules_match(uint64_t number, const struct head *head, struct rule *out)
{
    if (rule_count == 0) {
        return false;
    }
    bool found = false;
    char *target = copy_text(head->target, head->target_size);
    for (size_t i = 0; i < rule_count && !found; i++) {
        if (wants(&rules[i], number, head->method, target)) {
            rules[i].count -= rules[i].count != UINT64_MAX;
            *out = rules[i];
            found = true;
        }
    }
    free(target);
    return found;
}

void rules_json(struct buf *out)
{
    buf_text(out, "{\"rules\":[");
    for (size_t i = 0; i < rule_count; i++) {
        buf_format(out, "%s{\"id\":%d,\"fault\":\"%s\",\"left\":", i ? "," : "", rules[i].id,
                   rules[i].name);
        if (rules[i].count == UINT64_MAX) {
            buf_text(out, "null}");
        } else {
            buf_format(out, "%llu}", (unsigned long long)rules[i].count);
        }
    }
    buf_text(out, "]}\n");
}
