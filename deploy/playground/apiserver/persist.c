/* SPDX-License-Identifier: Apache-2.0 */
/* The journal of changes and its compaction. */
#include "persist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"

#define LINES_SLACK 5000u

struct persist {
    struct objects *objects;
    char *path;
    int fd;
    size_t line_count;
    bool is_broken;
};

static bool write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, data, size);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return false;
        }
        data += done;
        size -= (size_t)done;
    }
    return true;
}

static void line_put(const char *key, const struct json *value, struct buf *out)
{
    buf_append_str(out, "{\"put\":");
    json_write_string(key, strlen(key), out);
    buf_append_str(out, ",\"object\":");
    json_write(value, JSON_COMPACT, out);
    buf_append_str(out, "}\n");
}

static void line_delete(const struct event *event, struct buf *out)
{
    buf_printf(out, "{\"revision\":%llu,\"delete\":", (unsigned long long)event->revision);
    json_write_string(event->resource, strlen(event->resource), out);
    buf_append_str(out, ",\"ns\":");
    json_write_string(event->object->ns, strlen(event->object->ns), out);
    buf_append_str(out, ",\"name\":");
    json_write_string(event->object->name, strlen(event->object->name), out);
    buf_append_str(out, "}\n");
}

static size_t objects_count(const struct objects *objects)
{
    size_t count = 0;
    for (size_t i = 0; i < objects->table_count; i++) {
        count += objects->tables[i]->count;
    }
    return count;
}

static bool write_snapshot(struct persist *persist, int fd)
{
    struct objects *objects = persist->objects;
    struct buf line;
    buf_init(&line, BUF_NO_LIMIT);
    buf_printf(&line, "{\"revision\":%llu}\n", (unsigned long long)objects->revision);
    bool is_written = write_all(fd, line.data, line.size);
    for (size_t i = 0; i < objects->table_count; i++) {
        const struct table *table = objects->tables[i];
        for (size_t row = 0; row < table->count && is_written; row++) {
            buf_clear(&line);
            line_put(table->key, table->rows[row]->value, &line);
            is_written = write_all(fd, line.data, line.size);
        }
    }
    buf_free(&line);
    return is_written;
}

/* Writes all objects to a new file and goes on there. Lock held. */
static int persist_compact(struct persist *persist)
{
    char *next = str_printf("%s.new", persist->path);
    int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = E_IO;
    if (fd >= 0 && write_snapshot(persist, fd) && rename(next, persist->path) == 0) {
        if (persist->fd >= 0) {
            close(persist->fd);
        }
        persist->fd = fd;
        persist->line_count = objects_count(persist->objects) + 1;
        rc = 0;
    } else if (fd >= 0) {
        close(fd);
        unlink(next);
    }
    mem_free(next);
    return rc;
}

static void journal_write(void *ctx, const struct event *event)
{
    struct persist *persist = ctx;
    struct buf line;
    buf_init(&line, BUF_NO_LIMIT);
    if (event->type == EVENT_DELETED) {
        line_delete(event, &line);
    } else {
        line_put(event->resource, event->object->value, &line);
    }
    bool is_written = write_all(persist->fd, line.data, line.size);
    buf_free(&line);
    persist->line_count++;
    if (is_written && persist->line_count > 2 * objects_count(persist->objects) + LINES_SLACK) {
        is_written = persist_compact(persist) == 0;
    }
    if (!is_written && !persist->is_broken) {
        persist->is_broken = true;
        LOG_ERROR("cannot write the state: it will not survive a restart",
                  LOG_STR("file", persist->path), LOG_STR("error", strerror(errno)));
    }
}

static void line_apply(struct objects *objects, struct json *line)
{
    const char *put = json_str(json_get(line, "put"), NULL);
    const char *gone = json_str(json_get(line, "delete"), NULL);
    uint64_t revision = (uint64_t)json_i64(json_get(line, "revision"), 0);
    if (put != NULL && json_get(line, "object") != NULL) {
        struct json *object = json_take(line, "object");
        revision = strtoull(json_path_str(object, "metadata.resourceVersion", "0"), NULL, 10);
        objects_restore(objects, put, object);
    } else if (gone != NULL) {
        objects_restore_delete(objects, gone, json_str(json_get(line, "ns"), ""),
                               json_str(json_get(line, "name"), ""));
    }
    if (revision > objects->revision) {
        objects->revision = revision;
    }
}

static int persist_load(struct persist *persist, struct err *err)
{
    FILE *file = fopen(persist->path, "re");
    if (file == NULL) {
        return errno == ENOENT ? 0
                               : err_set(err, E_IO, "open %s: %s", persist->path, strerror(errno));
    }
    char *text = NULL;
    size_t capacity = 0;
    ssize_t size;
    int rc = 0;
    while (rc == 0 && (size = getline(&text, &capacity, file)) > 0) {
        if (text[size - 1] != '\n') {
            LOG_WARN("the last line of the state is torn and left out",
                     LOG_STR("file", persist->path));
            break;
        }
        struct json *line = json_parse(text, (size_t)size, err);
        if (line == NULL) {
            rc = err_wrap(err, E_CORRUPT, "%s line %zu", persist->path, persist->line_count + 1);
            break;
        }
        line_apply(persist->objects, line);
        json_free(line);
        persist->line_count++;
    }
    free(text);
    fclose(file);
    persist->objects->oldest = persist->objects->revision;
    return rc;
}

int persist_open(const char *dir, struct objects *objects, struct persist **out_persist,
                 struct err *err)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return err_set(err, E_IO, "make folder %s: %s", dir, strerror(errno));
    }
    struct persist *persist = mem_zalloc(sizeof(*persist));
    persist->objects = objects;
    persist->path = str_printf("%s/state.json", dir);
    persist->fd = -1;
    int rc = persist_load(persist, err);
    if (rc == 0) {
        rc = persist_compact(persist);
        if (rc != 0) {
            err_set(err, rc, "write %s: %s", persist->path, strerror(errno));
        }
    }
    if (rc != 0) {
        mem_free(persist->path);
        mem_free(persist);
        return rc;
    }
    objects->journal = journal_write;
    objects->journal_ctx = persist;
    *out_persist = persist;
    return 0;
}

void persist_close(struct persist *persist)
{
    objects_lock(persist->objects);
    persist->objects->journal = NULL;
    objects_unlock(persist->objects);
    close(persist->fd);
    mem_free(persist->path);
    mem_free(persist);
}
