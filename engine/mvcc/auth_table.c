/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of users and roles. */
#include "engine/mvcc/auth_table.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/proto/codec.h"

#define RECORDS_FIRST 16u
#define HASH_TEXT     16u

static void record_free(struct auth_record *record)
{
    perm_set_free(&record->perms[AUTH_READ]);
    perm_set_free(&record->perms[AUTH_WRITE]);
    arena_free(&record->perms_arena);
    arena_free(&record->arena);
    mem_free(record);
}

void auth_table_clear(struct auth_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        record_free(table->records[i]);
    }
    mem_free(table->records);
    table->records = NULL;
    table->count = table->capacity = 0;
}

static size_t place_of(const struct auth_table *table, struct bytes name)
{
    size_t low = 0;
    size_t high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bytes_compare(table->records[middle]->name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_at(const struct auth_table *table, size_t at, struct bytes name)
{
    return at < table->count && bytes_equal(table->records[at]->name, name);
}

struct auth_record *auth_table_find(const struct auth_table *table, struct bytes name)
{
    size_t at = place_of(table, name);
    return is_at(table, at, name) ? table->records[at] : NULL;
}

/*
 * Names are keys of the store, and etcd's may be longer than ours: such a name is cut and ends with
 * a hash of all of it. Its record holds it whole.
 */
static struct bytes row_key(struct bytes name, uint8_t out[STORE_KEY_BYTES_MAX])
{
    if (name.size <= STORE_KEY_BYTES_MAX) {
        return name;
    }
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    char text[HASH_TEXT + 1];
    for (size_t i = 0; i < name.size; i++) {
        hash = (hash ^ name.data[i]) * 0x100000001b3u;
    }
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)hash);
    memcpy(out, name.data, STORE_KEY_BYTES_MAX - HASH_TEXT);
    memcpy(out + STORE_KEY_BYTES_MAX - HASH_TEXT, text, HASH_TEXT);
    return bytes_of(out, STORE_KEY_BYTES_MAX);
}

static struct bytes name_in(const struct auth_table *table, const ProtobufCMessage *message)
{
    return table->where == STORE_AUTH_USERS
               ? proto_bytes(((const Authpb__User *)(const void *)message)->name)
               : proto_bytes(((const Authpb__Role *)(const void *)message)->name);
}

/* Makes the record of a value; its place in the table is its name's. */
static int record_set(struct auth_table *table, struct bytes value)
{
    struct auth_record *record = mem_zalloc(sizeof(*record));
    arena_init(&record->arena, BUF_NO_LIMIT); /* it comes from our own store */
    arena_init(&record->perms_arena, BUF_NO_LIMIT);
    perm_set_init(&record->perms[AUTH_READ]);
    perm_set_init(&record->perms[AUTH_WRITE]);
    ProtobufCMessage *message;
    int rc = proto_unpack(table->descriptor, value, &record->arena, &message);
    if (rc != 0) {
        record_free(record);
        return rc;
    }
    record->message = message;
    record->name = name_in(table, message);
    size_t at = place_of(table, record->name);
    if (is_at(table, at, record->name)) {
        record_free(table->records[at]);
        table->records[at] = record;
        return 0;
    }
    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? RECORDS_FIRST : table->capacity * 2;
        table->records =
            mem_realloc(table->records, table->capacity * sizeof(struct auth_record *));
    }
    memmove(table->records + at + 1, table->records + at,
            (table->count - at) * sizeof(struct auth_record *));
    table->records[at] = record;
    table->count++;
    return 0;
}

void auth_table_put(struct auth_table *table, struct bytes name, const ProtobufCMessage *message,
                    struct store_batch *batch)
{
    uint8_t key[STORE_KEY_BYTES_MAX];
    struct buf value;
    buf_init(&value, BUF_NO_LIMIT);
    (void)proto_pack_append(message, &value); /* no limit: cannot fail */
    store_batch_put(batch, table->where, row_key(name, key), buf_bytes(&value));
    int rc = record_set(table, buf_bytes(&value));
    ASSERT(rc == 0); /* it was packed a moment ago */
    buf_free(&value);
}

void auth_table_remove(struct auth_table *table, struct bytes name, struct store_batch *batch)
{
    uint8_t key[STORE_KEY_BYTES_MAX];
    size_t at = place_of(table, name);
    ASSERT(is_at(table, at, name));
    store_batch_remove(batch, table->where, row_key(name, key));
    record_free(table->records[at]);
    table->count--;
    memmove(table->records + at, table->records + at + 1,
            (table->count - at) * sizeof(struct auth_record *));
}

int auth_table_load(struct auth_table *table, const struct store_seam *seam,
                    struct store_view *view, struct err *err)
{
    struct store_item item;
    auth_table_clear(table);
    int rc = seam->view_seek(view, table->where, (struct bytes){NULL, 0}, &item);
    while (rc == 0) {
        rc = record_set(table, item.value);
        if (rc != 0) {
            return err_set(err, E_CORRUPT, "table %s holds a value that cannot be read",
                           store_table_name(table->where));
        }
        rc = seam->view_next(view, table->where, &item);
    }
    return rc == E_NOT_FOUND ? 0 : rc;
}
