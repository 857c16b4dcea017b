/* SPDX-License-Identifier: Apache-2.0 */
/* GET of a collection: chosen under the lock, written out outside of it. */
#include <stdlib.h>
#include <string.h>

#include "apiserver.h"
#include "base/alloc.h"
#include "listing.h"
#include "table.h"

static void list_head(const struct call *call, const struct listing *listing, struct buf *out)
{
    const struct kind_version *version = call->request.version;
    char *api_version = kind_api_version(version);
    bool is_partial = call->form == FORM_METADATA;
    buf_printf(out, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",",
               is_partial ? "PartialObjectMetadataList" : version->kind->list_name,
               is_partial ? "meta.k8s.io/v1" : api_version);
    buf_printf(out, "\"metadata\":{\"resourceVersion\":\"%llu\"",
               (unsigned long long)listing->revision);
    if (listing->continue_at != NULL) {
        buf_append_str(out, ",\"continue\":");
        json_write_string(listing->continue_at, strlen(listing->continue_at), out);
        buf_printf(out, ",\"remainingItemCount\":%zu", listing->remaining);
    }
    buf_append_str(out, "},\"items\":[");
    mem_free(api_version);
}

static void write_objects(const struct call *call, const struct listing *listing, struct buf *out)
{
    list_head(call, listing, out);
    bool is_plain = call->form == FORM_OBJECT && present_is_identity(call->request.version);
    for (size_t i = 0; i < listing->count; i++) {
        buf_append_str(out, i > 0 ? "," : "");
        if (is_plain) {
            json_write(listing->items[i]->value, JSON_COMPACT, out);
            continue;
        }
        struct json *shown = call_render(call, listing->items[i]->value);
        json_write(shown, JSON_COMPACT, out);
        json_free(shown);
    }
    buf_append_str(out, "]}\n");
}

static enum table_include include_of(const struct call *call)
{
    char *text = http_query(call->http, "includeObject");
    enum table_include include = str_equal(text, "Object") ? TABLE_OBJECT
                                 : str_equal(text, "None") ? TABLE_NONE
                                                           : TABLE_METADATA;
    mem_free(text);
    return include;
}

static void write_table(const struct call *call, const struct listing *listing, struct buf *out)
{
    const struct kind_version *version = call->request.version;
    char *revision = str_printf("%llu", (unsigned long long)listing->revision);
    struct json *table = table_new(version, revision, true);
    if (listing->continue_at != NULL) {
        struct json *metadata = json_get(table, "metadata");
        json_set_str(metadata, "continue", listing->continue_at);
        json_set_int(metadata, "remainingItemCount", (int64_t)listing->remaining);
    }
    struct json *rows = json_get(table, "rows");
    for (size_t i = 0; i < listing->count; i++) {
        struct json *shown = present(version, listing->items[i]->value);
        json_append(rows, table_row(version, shown, include_of(call)));
        json_free(shown);
    }
    json_write(table, JSON_COMPACT, out);
    json_free(table);
    mem_free(revision);
}

/* True when a fault makes this list show the past. */
static bool wants_stale(const struct call *call)
{
    struct faults *faults = &call->server->faults;
    const char *agent = http_header(call->http, "User-Agent", "");
    char *revision = http_query(call->http, "resourceVersion");
    bool is_cached = str_equal(revision, "0");
    mem_free(revision);
    return (is_cached && faults_hit(faults, FAULT_STALE_LIST, agent)) ||
           faults_hit(faults, FAULT_STALE_ANY_LIST, agent);
}

/* Refuses a resourceVersion that lies ahead; false when answered. */
static bool revision_fits(struct call *call, struct reply *reply)
{
    char *text = http_query(call->http, "resourceVersion");
    uint64_t wanted = text == NULL ? 0 : strtoull(text, NULL, 10);
    mem_free(text);
    uint64_t now = call->server->store.objects.revision;
    char *match = http_query(call->http, "resourceVersionMatch");
    bool is_exact = str_equal(match, "Exact");
    mem_free(match);
    if (wanted > now) {
        reply_fail(reply, 504, "Timeout", NULL, NULL,
                   "Too large resource version: %llu, current: %llu", (unsigned long long)wanted,
                   (unsigned long long)now);
        return false;
    }
    if (is_exact && wanted != now) {
        reply_fail(reply, 410, "Expired", NULL, NULL,
                   "The resourceVersion for the provided list is too old.");
        return false;
    }
    return true;
}

static bool make_listing(struct call *call, struct listing *out_listing, struct reply *reply)
{
    struct selector *labels = NULL;
    struct selector *fields = NULL;
    struct err err = {""};
    if (selector_parse_labels(call->label_selector, &labels, &err) != 0 ||
        selector_parse_fields(call->field_selector, &fields, &err) != 0) {
        selector_free(labels);
        reply_bad_request(reply, "unable to parse selector: %s", err.text);
        return false;
    }
    char *token = http_query(call->http, "continue");
    struct list_options options = {
        .ns = call->request.ns,
        .labels = labels,
        .fields = fields,
        .limit = (size_t)call_query_i64(call, "limit", 0),
        .continue_at = token == NULL ? "" : token,
        .stale_by = wants_stale(call) ? (uint64_t)faults_stale_changes(&call->server->faults) : 0,
    };
    objects_lock(&call->server->store.objects);
    int rc = E_REFUSED;
    if (*options.continue_at != '\0' || revision_fits(call, reply)) {
        rc = listing_make(&call->server->store, call->request.version->kind, &options, out_listing);
    }
    objects_unlock(&call->server->store.objects);
    if (rc == E_INVALID) {
        reply_bad_request(reply, "continue key is not valid");
    } else if (rc == E_COMPACTED) {
        reply_fail(reply, 410, "Expired", NULL, NULL,
                   "The provided continue parameter is too old to display a consistent list "
                   "result. You can start a new list without the continue parameter.");
    }
    selector_free(labels);
    selector_free(fields);
    mem_free(token);
    return rc == 0;
}

void list_serve(struct call *call)
{
    struct reply reply;
    reply_init(&reply);
    struct listing listing;
    if (!make_listing(call, &listing, &reply)) {
        call_respond(call, &reply);
        reply_free(&reply);
        return;
    }
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    if (call->form == FORM_TABLE) {
        write_table(call, &listing, &out);
    } else {
        write_objects(call, &listing, &out);
    }
    http_respond(call->connection, 200, "application/json", buf_bytes(&out));
    buf_free(&out);
    listing_free(&listing);
}
