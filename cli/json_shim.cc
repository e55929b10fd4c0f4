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
    *member = json_member{JSON_OTHER, nullptr, 0, 0, 0, position};
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
    case simdjson::dom::element_type::UINT64: {
        int64_t negative;

        if (value.get(member->number) == simdjson::SUCCESS) {
            member->kind = JSON_UNSIGNED;
        } else if (value.get(negative) == simdjson::SUCCESS) {
            member->kind = JSON_NEGATIVE;
            member->number = static_cast<uint64_t>(negative);
        }
        break;
    }
    case simdjson::dom::element_type::DOUBLE:
        if (value.get(member->real) == simdjson::SUCCESS) {
            member->kind = JSON_REAL;
        }
        break;
    case simdjson::dom::element_type::BOOL: {
        bool truth = false;

        if (value.get(truth) == simdjson::SUCCESS) {
            member->kind = truth ? JSON_TRUE : JSON_FALSE;
        }
        break;
    }
    case simdjson::dom::element_type::NULL_VALUE:
        member->kind = JSON_NULL;
        break;
    default:
        break;
    }
}

const char *json_shim_find(struct json_shim *shim, const char *text, size_t size,
                           struct json_wanted *wanted, size_t count)
{
    simdjson::dom::element document;
    simdjson::dom::object object;
    size_t position = 0;

    for (size_t i = 0; i < count; i++) {
        wanted[i].found = json_member{JSON_MISSING, nullptr, 0, 0, 0, 0};
    }
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
        for (size_t i = 0; i < count; i++) {
            if (wanted[i].name != nullptr && field.key.size() == wanted[i].name_size &&
                memcmp(field.key.data(), wanted[i].name, wanted[i].name_size) == 0) {
                take_member(field.value, position, &wanted[i].found);
            }
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
