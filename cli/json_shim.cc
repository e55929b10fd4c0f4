/*
 * json_shim.cc - the only C++ of the tool: simdjson behind a C interface.
 *
 * Uses the DOM parser, which checks a text completely (structure, UTF-8, escapes, numbers). No
 * exception leaves this file: all calls are those that return error codes.
 */
#include "json_shim.h"

#include <cstring>
#include <new>

#include <simdjson.h>

#include "memory.h"

struct json_shim {
    simdjson::dom::parser parser;
};

static_assert(JSON_SHIM_PADDING >= simdjson::SIMDJSON_PADDING, "padding");

struct json_shim *json_shim_new(void)
{
    json_shim *shim = new (std::nothrow) json_shim;

    if (shim == nullptr) {
        cli_no_memory();
    }
    return shim;
}

void json_shim_free(struct json_shim *shim)
{
    delete shim;
}

static void take_member(const simdjson::dom::element &value, size_t position, json_member *member)
{
    *member = json_member{JSON_OTHER, nullptr, 0, 0, position};
    switch (value.type()) {
    case simdjson::dom::element_type::STRING: {
        std::string_view text;

        if (value.get(text) == simdjson::SUCCESS) {
            member->kind = JSON_STRING;
            member->text = text.data();
            member->size = text.size();
        }
        break;
    }
    case simdjson::dom::element_type::INT64:
    case simdjson::dom::element_type::UINT64:
        if (value.get(member->number) == simdjson::SUCCESS) {
            member->kind = JSON_UNSIGNED;
        }
        break;
    case simdjson::dom::element_type::NULL_VALUE:
        member->kind = JSON_NULL;
        break;
    default:
        break;
    }
}

const char *json_shim_find(struct json_shim *shim, const char *text, size_t size,
                           const char *first_name, const char *second_name,
                           struct json_member *first, struct json_member *second)
{
    const std::string_view first_view(first_name);
    const std::string_view second_view(second_name != nullptr ? second_name : "");
    simdjson::dom::element document;
    simdjson::dom::object object;
    size_t position = 0;

    *first = json_member{JSON_MISSING, nullptr, 0, 0, 0};
    *second = *first;
    auto error =
        shim->parser.parse(reinterpret_cast<const uint8_t *>(text), size, false).get(document);
    if (error == simdjson::MEMALLOC) {
        cli_no_memory();
    }
    if (error != simdjson::SUCCESS) {
        return simdjson::error_message(error);
    }
    if (document.get(object) != simdjson::SUCCESS) {
        return "expected one JSON object a line";
    }
    for (auto field : object) {
        if (field.key == first_view) {
            take_member(field.value, position, first);
        }
        if (second_name != nullptr && field.key == second_view) {
            take_member(field.value, position, second);
        }
        position++;
    }
    return nullptr;
}

size_t json_shim_minify(const char *text, size_t size, char *to)
{
    size_t written = 0;

    if (simdjson::minify(text, size, to, written) != simdjson::SUCCESS) {
        return 0;
    }
    return written;
}

bool json_shim_is_utf8(const void *text, size_t size)
{
    return simdjson::validate_utf8(static_cast<const char *>(text), size);
}
