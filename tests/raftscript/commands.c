/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of a script, one function each (README.md tells what they do). */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/raftscript/script.h"

/* One line, split: name, plain words, and words with = in them. */
struct line {
    const char *name;
    char *words[SCRIPT_WORDS_MAX];
    uint32_t count;
    char *options[SCRIPT_WORDS_MAX];
    uint32_t option_count;
};

static void line_split(char *text, struct line *line)
{
    char *rest = text;
    *line = (struct line){.name = ""};
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        if (word[0] == '\0') {
            continue;
        }
        ASSERT(line->count < SCRIPT_WORDS_MAX && line->option_count < SCRIPT_WORDS_MAX);
        if (line->name[0] == '\0') {
            line->name = word;
        } else if (strchr(word, '=') != NULL) {
            line->options[line->option_count++] = word;
        } else {
            line->words[line->count++] = word;
        }
    }
}

static const char *option(const struct line *line, const char *name)
{
    size_t size = strlen(name);
    for (uint32_t i = 0; i < line->option_count; i++) {
        if (strncmp(line->options[i], name, size) == 0 && line->options[i][size] == '=') {
            return line->options[i] + size + 1;
        }
    }
    return NULL;
}

static uint64_t option_number(const struct line *line, const char *name, uint64_t otherwise)
{
    const char *text = option(line, name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static uint64_t number(const struct line *line, uint32_t place)
{
    return place < line->count ? strtoull(line->words[place], NULL, 10) : 0;
}

static bool has_word(const struct line *line, const char *word)
{
    for (uint32_t i = 0; i < line->count; i++) {
        if (str_equal(line->words[i], word)) {
            return true;
        }
    }
    return false;
}

/* "1,4,5" */
static uint32_t numbers(const char *text, uint64_t *out, uint32_t max)
{
    uint32_t count = 0;
    while (text != NULL && *text != '\0' && count < max) {
        char *end = NULL;
        out[count++] = strtoull(text, &end, 10);
        text = *end == ',' ? end + 1 : "";
    }
    return count;
}

static struct script_node *first_node(struct script *script, const struct line *line)
{
    return script_live(script, number(line, 0));
}

/* ---- members ---- */

static void node_fill_log(struct script_disk *disk, const char *terms)
{
    uint64_t list[SCRIPT_ENTRIES_MAX];
    uint32_t count = numbers(terms, list, SCRIPT_ENTRIES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        disk->entries[disk->entry_count++] =
            (struct raft_entry){.index = disk->mark.index + 1 + i, .term = list[i]};
    }
}

static void node_make(struct script_node *node, uint64_t id, const struct line *line,
                      const struct raft_conf_state *conf)
{
    node->id = id;
    node->config = (struct raft_config){
        .id = id,
        .election_ticks = (uint32_t)option_number(line, "election", 3),
        .heartbeat_ticks = 1,
        .pre_vote = has_word(line, "prevote"),
        .check_quorum = has_word(line, "checkquorum"),
        .max_message_bytes = option_number(line, "max-bytes", 1u << 20),
        .max_inflight = (uint32_t)option_number(line, "inflight", 8),
        .random_seed = option_number(line, "seed", id),
    };
    struct script_disk *disk = &node->disk;
    disk->mark.index = option_number(line, "snapshot-index", 0);
    disk->mark.term = disk->mark.index == 0 ? 0 : option_number(line, "snapshot-term", 1);
    disk->mark.conf_state = *conf;
    node_fill_log(disk, option(line, "log"));
    disk->hard_state = (struct raft_hard_state){
        .term = option_number(line, "term", disk->mark.term),
        .vote = option_number(line, "vote", 0),
        .commit = option_number(line, "commit", disk->mark.index),
    };
}

static void do_add_nodes(struct script *script, const struct line *line)
{
    uint64_t first = 1;
    struct raft_conf_state conf = {0};
    while (first <= SCRIPT_NODES_MAX && script->nodes[first].id != 0) {
        first++;
    }
    uint64_t last = first + number(line, 0) - 1;
    if (last > SCRIPT_NODES_MAX) {
        script_say(script, "error: no more than %u nodes", SCRIPT_NODES_MAX);
        return;
    }
    conf.voter_count = numbers(option(line, "voters"), conf.voters, RAFT_MEMBERS_MAX);
    conf.learner_count = numbers(option(line, "learners"), conf.learners, RAFT_MEMBERS_MAX);
    if (option(line, "voters") == NULL && !has_word(line, "empty")) {
        for (uint64_t id = first; id <= last; id++) {
            conf.voters[conf.voter_count++] = id;
        }
    }
    for (uint64_t id = first; id <= last; id++) {
        node_make(&script->nodes[id], id, line, &conf);
        script_start(script, &script->nodes[id], has_word(line, "suspect"));
        script_print_status(script, &script->nodes[id]);
    }
}

static void do_stop(struct script *script, const struct line *line)
{
    struct script_node *node = first_node(script, line);
    if (node != NULL) {
        script_stop(script, node);
    }
}

static void do_start(struct script *script, const struct line *line)
{
    struct script_node *node = &script->nodes[BASE_MIN(number(line, 0), SCRIPT_NODES_MAX)];
    if (node->id == 0 || node->raft != NULL) {
        script_say(script, "error: node %lu cannot be started", (unsigned long)number(line, 0));
        return;
    }
    script_start(script, node, false);
    script_print_status(script, node);
}

static void do_restart(struct script *script, const struct line *line)
{
    struct script_node *node = first_node(script, line);
    if (node != NULL) {
        script_stop(script, node);
        script_start(script, node, false);
        script_print_status(script, node);
    }
}

/* Rot: the log ends at last= from now on, and the member knows that it may have lost something. */
static void do_suspect(struct script *script, const struct line *line)
{
    struct script_node *node = first_node(script, line);
    if (node == NULL) {
        return;
    }
    script_stop(script, node);
    struct script_disk *disk = &node->disk;
    uint64_t last = option_number(line, "last", disk->mark.index + disk->entry_count);
    script_disk_cut(disk, (uint32_t)(BASE_MAX(last, disk->mark.index) - disk->mark.index));
    disk->hard_state.commit = BASE_MIN(disk->hard_state.commit, last);
    script_start(script, node, true);
    script_print_status(script, node);
}

/* ---- inputs ---- */

static void say_result(struct script *script, int rc)
{
    if (rc != E_OK) {
        script_say(script, "refused: %s", err_code_text(rc));
    }
}

static void do_campaign(struct script *script, const struct line *line)
{
    struct script_node *node = first_node(script, line);
    if (node != NULL) {
        raft_campaign(node->raft);
        script_check(script, node);
    }
}

static void do_propose(struct script *script, const struct line *line)
{
    struct script_node *node = first_node(script, line);
    struct raft_payload *payloads[SCRIPT_WORDS_MAX];
    uint32_t count = 0;
    if (node == NULL) {
        return;
    }
    for (uint32_t i = 1; i < line->count; i++) {
        payloads[count++] = raft_payload_new(bytes_of_str(line->words[i]));
    }
    uint64_t size = option_number(line, "bytes", 0);
    if (size != 0) {
        uint8_t *zeros = mem_zalloc((size_t)size);
        payloads[count++] = raft_payload_new(bytes_of(zeros, (size_t)size));
        mem_free(zeros);
    }
    for (uint64_t i = option_number(line, "times", 1); i > 1; i--) {
        raft_payload_ref(payloads[0]);
        say_result(script, raft_propose(node->raft, payloads, 1));
    }
    say_result(script, raft_propose(node->raft, payloads, count));
    script_check(script, node);
}

static void do_conf_change(struct script *script, const struct line *line)
{
    static const char *const NAMES[] = {"add-voter", "remove", "update", "add-learner"};
    struct script_node *node = first_node(script, line);
    for (uint8_t type = 0; node != NULL && line->count > 2 && type < ARRAY_COUNT(NAMES); type++) {
        if (str_equal(line->words[1], NAMES[type])) {
            uint8_t data[2] = {type, (uint8_t)number(line, 2)};
            say_result(script, raft_propose_conf_change(
                                   node->raft, raft_payload_new(bytes_of(data, sizeof(data)))));
            script_check(script, node);
            return;
        }
    }
    script_say(script, "error: conf-change N add-voter|add-learner|remove|update ID");
}

static void do_transfer(struct script *script, const struct line *line)
{
    struct script_node *node = first_node(script, line);
    if (node != NULL) {
        raft_transfer_leader(node->raft, number(line, 1));
        script_check(script, node);
    }
}

static void do_tick(struct script *script, const struct line *line)
{
    struct script_node *node = first_node(script, line);
    for (uint64_t i = line->count > 1 ? number(line, 1) : 1; node != NULL && i > 0; i--) {
        raft_tick(node->raft);
        script_check(script, node);
    }
}

/* Until the election timeout has passed, however long chance made it. */
static void do_tick_election(struct script *script, const struct line *line)
{
    struct script_node *node = first_node(script, line);
    if (node == NULL) {
        return;
    }
    struct raft_status before;
    struct raft_status now;
    raft_status(node->raft, &before);
    uint32_t count = node->config.election_ticks * (before.role == RAFT_LEADER ? 1 : 2);
    for (uint32_t i = 0; i < count; i++) {
        raft_tick(node->raft);
        script_check(script, node);
        raft_status(node->raft, &now);
        if (now.role != before.role || now.term != before.term) {
            return;
        }
    }
}

static void do_read_index(struct script *script, const struct line *line)
{
    struct script_node *node = first_node(script, line);
    if (node != NULL) {
        const char *context = line->count > 1 ? line->words[1] : "";
        say_result(script, raft_read_index(node->raft, bytes_of_str(context)));
    }
}

static void do_unreachable(struct script *script, const struct line *line)
{
    struct script_node *node = first_node(script, line);
    if (node != NULL) {
        raft_report_unreachable(node->raft, number(line, 1));
    }
}

static void do_report_snapshot(struct script *script, const struct line *line)
{
    struct script_node *node = first_node(script, line);
    if (node != NULL) {
        raft_report_snapshot(node->raft, number(line, 1), has_word(line, "ok"));
    }
}

/* ---- disk and state machine ---- */

static void do_persist(struct script *script, const struct line *line)
{
    struct script_node *node = first_node(script, line);
    if (node == NULL) {
        return;
    }
    if (has_word(line, "hold")) {
        node->hold_disk = true;
    } else if (has_word(line, "one")) {
        script_release(script, node, 1);
    } else {
        node->hold_disk = false;
        script_release(script, node, node->op_count);
    }
}

static void do_apply(struct script *script, const struct line *line)
{
    struct script_node *node = first_node(script, line);
    if (node != NULL) {
        node->hold_apply = has_word(line, "hold");
        if (!node->hold_apply) {
            script_apply(script, node);
        }
    }
}

static void do_compact(struct script *script, const struct line *line)
{
    struct script_node *node = first_node(script, line);
    if (node != NULL) {
        script_compact(script, node, number(line, 1));
    }
}

static void do_ready(struct script *script, const struct line *line)
{
    for (uint32_t i = 0; i < line->count; i++) {
        struct script_node *node = script_live(script, number(line, i));
        if (node != NULL) {
            (void)script_ready(script, node);
        }
    }
}

/* ---- network ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "1->2", "->2", "1->", "all", a message's name, count=. */
static struct script_filter filter_of(struct script *script, const struct line *line)
{
    struct script_filter filter = {.type = -1, .only_first = option_number(line, "count", 0)};
    for (uint32_t i = 0; i < line->count; i++) {
        char *word = line->words[i];
        char *arrow = strstr(word, "->");
        if (arrow != NULL) {
            filter.from = is_digit(word[0]) ? strtoull(word, NULL, 10) : 0;
            filter.to = strtoull(arrow + 2, NULL, 10);
        } else if (!str_equal(word, "all")) {
            filter.type = script_message_type(word);
            if (filter.type < 0) {
                script_say(script, "error: no message is called %s", word);
                filter.receivers = 1; /* nobody */
            }
        }
    }
    return filter;
}

static void do_deliver(struct script *script, const struct line *line)
{
    struct script_filter filter = filter_of(script, line);
    (void)script_deliver(script, &filter, true);
}

static void do_drop(struct script *script, const struct line *line)
{
    struct script_filter filter = filter_of(script, line);
    script_drop(script, &filter);
}

static void do_duplicate(struct script *script, const struct line *line)
{
    struct script_filter filter = filter_of(script, line);
    script_duplicate(script, &filter);
}

static void do_reverse(struct script *script, const struct line *line)
{
    struct script_filter filter = filter_of(script, line);
    script_reverse(script, &filter);
}

static void do_stabilize(struct script *script, const struct line *line)
{
    uint64_t receivers = 0;
    for (uint32_t i = 0; i < line->count; i++) {
        receivers |= UINT64_C(1) << (number(line, i) & 63u);
    }
    script_stabilize(script, receivers);
}

/* "partition 1 2": these hear each other only, and the others each other. */
static void do_partition(struct script *script, const struct line *line)
{
    bool inside[SCRIPT_NODES_MAX + 1] = {false};
    for (uint32_t i = 0; i < line->count; i++) {
        inside[BASE_MIN(number(line, i), SCRIPT_NODES_MAX)] = true;
    }
    for (uint32_t a = 1; a <= SCRIPT_NODES_MAX; a++) {
        for (uint32_t b = 1; b <= SCRIPT_NODES_MAX; b++) {
            script->cut[a][b] = inside[a] != inside[b];
        }
    }
}

static void do_heal(struct script *script, const struct line *line)
{
    (void)line;
    memset(script->cut, 0, sizeof(script->cut));
}

/* A message that no member of the script sends. */
static void do_inject(struct script *script, const struct line *line)
{
    struct script_node *node = first_node(script, line);
    int type = line->count > 1 ? script_message_type(line->words[1]) : -1;
    if (node == NULL || type < 0) {
        script_say(script, "error: inject TO TYPE from= term= ...");
        return;
    }
    struct raft_message message = {
        .type = (enum raft_message_type)type,
        .to = node->id,
        .from = option_number(line, "from", 0),
        .term = option_number(line, "term", 0),
        .index = option_number(line, "index", 0),
        .log_term = option_number(line, "log-term", 0),
        .commit = option_number(line, "commit", 0),
        .reject_hint = option_number(line, "hint", 0),
        .reject = has_word(line, "reject"),
    };
    const char *context = option(line, "context");
    if (context != NULL) {
        message.context_size = (uint8_t)BASE_MIN(strlen(context), RAFT_CONTEXT_BYTES_MAX);
        memcpy(message.context, context, message.context_size);
    }
    uint64_t terms[SCRIPT_ENTRIES_MAX];
    message.entry_count = numbers(option(line, "log"), terms, SCRIPT_ENTRIES_MAX);
    message.entries = mem_array(message.entry_count, sizeof(*message.entries));
    for (uint32_t i = 0; i < message.entry_count; i++) {
        message.entries[i] = (struct raft_entry){.index = message.index + 1 + i, .term = terms[i]};
    }
    if (type == RAFT_MSG_SNAP) {
        message.snapshot = mem_zalloc(sizeof(*message.snapshot));
        message.snapshot->index = option_number(line, "snapshot-index", 0);
        message.snapshot->term = option_number(line, "snapshot-term", 0);
        message.snapshot->conf_state.voter_count =
            numbers(option(line, "voters"), message.snapshot->conf_state.voters, RAFT_MEMBERS_MAX);
    }
    raft_step(node->raft, &message);
    script_check(script, node);
}

/* ---- looking, and the rest ---- */

static void for_nodes(struct script *script, const struct line *line,
                      void (*print)(struct script *script, const struct script_node *node))
{
    for (uint32_t id = 1; line->count == 0 && id <= SCRIPT_NODES_MAX; id++) {
        if (script->nodes[id].raft != NULL) {
            print(script, &script->nodes[id]);
        }
    }
    for (uint32_t i = 0; i < line->count; i++) {
        const struct script_node *node = script_live(script, number(line, i));
        if (node != NULL) {
            print(script, node);
        }
    }
}

static void do_status(struct script *script, const struct line *line)
{
    for_nodes(script, line, script_print_status);
}

static void do_raft_log(struct script *script, const struct line *line)
{
    for_nodes(script, line, script_print_log);
}

static void do_progress(struct script *script, const struct line *line)
{
    for_nodes(script, line, script_print_progress);
}

static void do_messages(struct script *script, const struct line *line)
{
    (void)line;
    script_list(script);
}

static void do_quiet(struct script *script, const struct line *line)
{
    script->quiet = !has_word(line, "off");
}

/* From here on the script lies to members, so that the rules do not have to hold. */
static void do_lie(struct script *script, const struct line *line)
{
    (void)line;
    script->no_laws = true;
}

static const struct {
    const char *name;
    void (*run)(struct script *script, const struct line *line);
} COMMANDS[] = {
    {"add-nodes", do_add_nodes},
    {"apply", do_apply},
    {"campaign", do_campaign},
    {"compact", do_compact},
    {"conf-change", do_conf_change},
    {"deliver", do_deliver},
    {"drop", do_drop},
    {"duplicate", do_duplicate},
    {"heal", do_heal},
    {"inject", do_inject},
    {"lie", do_lie},
    {"messages", do_messages},
    {"partition", do_partition},
    {"persist", do_persist},
    {"progress", do_progress},
    {"propose", do_propose},
    {"quiet", do_quiet},
    {"raft-log", do_raft_log},
    {"read-index", do_read_index},
    {"ready", do_ready},
    {"report-snapshot", do_report_snapshot},
    {"report-unreachable", do_unreachable},
    {"restart", do_restart},
    {"reverse", do_reverse},
    {"stabilize", do_stabilize},
    {"start", do_start},
    {"status", do_status},
    {"stop", do_stop},
    {"suspect", do_suspect},
    {"tick", do_tick},
    {"tick-election", do_tick_election},
    {"transfer-leader", do_transfer},
};

void script_run(struct script *script, char *text)
{
    struct line line;
    line_split(text, &line);
    for (size_t i = 0; i < ARRAY_COUNT(COMMANDS); i++) {
        if (str_equal(line.name, COMMANDS[i].name)) {
            COMMANDS[i].run(script, &line);
            return;
        }
    }
    script_say(script, "error: no command is called %s", line.name);
}
