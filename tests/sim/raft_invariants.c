/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of Raft against what members show of themselves (see raft_invariants.h). */
#include "tests/sim/raft_invariants.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"

#define TABLE_CAPACITY_MIN 256u
#define MIRROR_TRIM_MIN    1024u

/* Pairs of numbers to a number that is not 0. */
struct pair_slot {
    uint64_t a, b, value;
};

struct pair_table {
    struct pair_slot *slots; /* open addressing; capacity is a power of two */
    size_t capacity, count;
};

/* An entry as a log holds it: its term, and a hash of everything up to it. */
struct link {
    uint64_t term;
    uint64_t chain;
};

/* What the cluster has agreed on at an index. */
struct truth {
    struct link link;
    uint64_t commit_term; /* of the member that was first seen to have it committed; never falls */
    uint64_t conf_hash;   /* of the configuration after it; 0: not known */
};

struct member {
    uint64_t id;
    bool alive;
    bool damaged; /* it was suspect once: its disk is not held against it */
    struct raft_status seen;
    struct raft_conf_state conf;
    uint64_t rewrites;
    struct link *mirror; /* [0] is base, the last one seen.last_index */
    uint64_t base;
    size_t mirror_capacity;
    uint64_t durable_index; /* what its disk holds for sure */
    uint64_t durable_chain;
    uint64_t peak_index, peak_term; /* the most it ever held in a term: acknowledgements are slow */
    uint64_t applied;               /* as told by raft_invariants_applied */
    bool knows_hard_state;
    struct raft_hard_state hard_state;
};

struct raft_invariants {
    struct member **members;
    uint32_t member_count;
    struct truth *truth; /* [0] is truth_base */
    size_t truth_capacity;
    uint64_t truth_base, truth_last;
    struct pair_table links;   /* (index, term): chain */
    struct pair_table votes;   /* (id, term): candidate */
    struct pair_table leaders; /* (term, 0): id */
    struct raft_invariants_counts counts;
    char failure[256];
};

static void inv_fail(struct raft_invariants *inv, const char *format, ...) BASE_PRINTF(2, 3);

static void inv_fail(struct raft_invariants *inv, const char *format, ...)
{
    if (inv->failure[0] == '\0') {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(inv->failure, sizeof(inv->failure), format, args);
        va_end(args);
    }
}

#define LU(number) ((unsigned long)(number))

/* ---- hashes and tables ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a ^ (b + UINT64_C(0x9e3779b97f4a7c15) + (a << 6) + (a >> 2))) *
                 UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 29)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 32);
}

static uint64_t hash_bytes(struct bytes bytes)
{
    uint64_t hash = bytes.size;
    for (; bytes.size >= 8; bytes.data += 8, bytes.size -= 8) {
        hash = mix(hash, get_be64(bytes.data));
    }
    for (size_t i = 0; i < bytes.size; i++) {
        hash = mix(hash, bytes.data[i]);
    }
    return hash;
}

static struct link link_after(struct link before, const struct raft_entry *entry)
{
    uint64_t hash = mix(mix(entry->index, entry->term), (uint64_t)entry->type);
    hash = mix(hash, hash_bytes(raft_entry_bytes(entry)));
    uint64_t chain = mix(before.chain, hash);
    return (struct link){.term = entry->term, .chain = chain == 0 ? 1 : chain};
}

/* Where a history begins: nothing is known of what lies before. */
static struct link link_first(uint64_t index, uint64_t term)
{
    return (struct link){.term = term, .chain = mix(index, term) | 1u};
}

static uint64_t hash_conf(const struct raft_conf_state *conf)
{
    uint64_t hash = mix(conf->voter_count, conf->learner_count);
    for (uint32_t i = 0; i < conf->voter_count; i++) {
        hash = mix(hash, conf->voters[i]);
    }
    for (uint32_t i = 0; i < conf->learner_count; i++) {
        hash = mix(hash, conf->learners[i]);
    }
    return hash | 1u;
}

static struct pair_slot *pair_find(const struct pair_table *table, uint64_t a, uint64_t b)
{
    size_t place = (size_t)mix(a, b) & (table->capacity - 1);
    while (table->slots[place].value != 0 &&
           (table->slots[place].a != a || table->slots[place].b != b)) {
        place = (place + 1) & (table->capacity - 1);
    }
    return &table->slots[place];
}

static void pair_grow(struct pair_table *table)
{
    struct pair_table bigger = {
        .capacity = BASE_MAX(table->capacity * 2, TABLE_CAPACITY_MIN),
        .count = table->count,
    };
    bigger.slots = mem_array(bigger.capacity, sizeof(*bigger.slots));
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->slots[i].value != 0) {
            *pair_find(&bigger, table->slots[i].a, table->slots[i].b) = table->slots[i];
        }
    }
    mem_free(table->slots);
    *table = bigger;
}

/* Gives what stands there, which is value when nothing stood there before. */
static uint64_t pair_claim(struct pair_table *table, uint64_t a, uint64_t b, uint64_t value)
{
    if (4 * (table->count + 1) > 3 * table->capacity) {
        pair_grow(table);
    }
    struct pair_slot *slot = pair_find(table, a, b);
    if (slot->value == 0) {
        *slot = (struct pair_slot){.a = a, .b = b, .value = value};
        table->count++;
    }
    return slot->value;
}

/* ---- what the cluster agreed on ---- */

static bool truth_has(const struct raft_invariants *inv, uint64_t index)
{
    return inv->truth != NULL && index >= inv->truth_base && index <= inv->truth_last;
}

static struct truth *truth_at(const struct raft_invariants *inv, uint64_t index)
{
    ASSERT(truth_has(inv, index));
    return &inv->truth[index - inv->truth_base];
}

static void truth_push(struct raft_invariants *inv, uint64_t index, struct truth truth)
{
    if (inv->truth == NULL) {
        inv->truth_base = index;
    }
    size_t count = (size_t)(index - inv->truth_base);
    if (count >= inv->truth_capacity) {
        inv->truth_capacity = BASE_MAX(inv->truth_capacity * 2, TABLE_CAPACITY_MIN);
        inv->truth = mem_realloc(inv->truth, inv->truth_capacity * sizeof(*inv->truth));
    }
    inv->truth[count] = truth;
    inv->truth_last = index;
}

/* ---- the log of one member, as hashes ---- */

static struct member *member_find(const struct raft_invariants *inv, uint64_t id)
{
    for (uint32_t i = 0; i < inv->member_count; i++) {
        if (inv->members[i]->id == id) {
            return inv->members[i];
        }
    }
    return NULL;
}

static struct member *member_ensure(struct raft_invariants *inv, uint64_t id)
{
    struct member *member = member_find(inv, id);
    if (member == NULL) {
        member = mem_zalloc(sizeof(*member));
        member->id = id;
        inv->members = mem_realloc(inv->members, (inv->member_count + 1) * sizeof(struct member *));
        inv->members[inv->member_count++] = member;
    }
    return member;
}

static struct link *mirror_at(const struct member *member, uint64_t index)
{
    ASSERT(index >= member->base);
    return &member->mirror[index - member->base];
}

/* Of what lies below the mirror the cluster's own memory speaks: it was committed. */
static uint64_t member_chain(const struct raft_invariants *inv, const struct member *member,
                             uint64_t index)
{
    if (index >= member->base) {
        return mirror_at(member, index)->chain;
    }
    return truth_has(inv, index) ? truth_at(inv, index)->link.chain : 0;
}

static void mirror_put(struct member *member, uint64_t index, struct link link)
{
    size_t place = (size_t)(index - member->base);
    if (place >= member->mirror_capacity) {
        member->mirror_capacity = BASE_MAX(member->mirror_capacity * 2, TABLE_CAPACITY_MIN);
        member->mirror =
            mem_realloc(member->mirror, member->mirror_capacity * sizeof(*member->mirror));
    }
    member->mirror[place] = link;
}

/* The mirror starts again at the mark, which must be something that was committed. */
static void mirror_restart(struct raft_invariants *inv, struct member *member,
                           const struct raft_view *view)
{
    uint64_t mark = view->status.first_index - 1;
    if (inv->truth == NULL) { /* the first member of all: history begins here */
        truth_push(inv, mark, (struct truth){.link = link_first(mark, view->mark_term)});
    }
    if (mark < inv->truth_base && view->status.last_index == mark) {
        member->base = mark; /* an empty log, in a history that began later: a snapshot will come */
        mirror_put(member, mark, link_first(mark, view->mark_term));
        return;
    }
    if (!truth_has(inv, mark) || truth_at(inv, mark)->link.term != view->mark_term) {
        inv_fail(inv, "State Machine Safety: the snapshot of %lu ends at %lu of term %lu, which %s",
                 LU(member->id), LU(mark), LU(view->mark_term),
                 truth_has(inv, mark) ? "was committed with another term" : "nobody committed");
        return;
    }
    member->base = mark;
    mirror_put(member, mark, truth_at(inv, mark)->link);
}

static void mirror_read(struct raft_invariants *inv, struct member *member,
                        const struct raft_view *view, uint64_t first)
{
    for (uint64_t i = first; i <= view->status.last_index; i++) {
        const struct raft_entry *entry = view->entry_at(view->ctx, i);
        struct link before = *mirror_at(member, i - 1);
        if (entry->index != i || entry->term < before.term || entry->term > view->status.term) {
            inv_fail(inv, "Log Matching: entry %lu of %lu has index %lu and term %lu", LU(i),
                     LU(member->id), LU(entry->index), LU(entry->term));
            return;
        }
        struct link link = link_after(before, entry);
        if (pair_claim(&inv->links, i, entry->term, link.chain) != link.chain) {
            inv_fail(inv, "Log Matching: %lu and another one differ at or before %lu of term %lu",
                     LU(member->id), LU(i), LU(entry->term));
            return;
        }
        mirror_put(member, i, link);
        inv->counts.entries++;
    }
}

static void mirror_trim(struct member *member, const struct raft_view *view)
{
    uint64_t mark = view->status.first_index - 1;
    uint64_t unused = mark - member->base;
    uint64_t live = view->status.last_index - mark + 1;
    if (unused > MIRROR_TRIM_MIN && unused > live) {
        memmove(member->mirror, mirror_at(member, mark), (size_t)live * sizeof(*member->mirror));
        member->base = mark;
    }
}

/* Brings the mirror to what the log is now; reads only what can be new. */
static void mirror_follow(struct raft_invariants *inv, struct member *member,
                          const struct raft_view *view)
{
    const struct raft_status *now = &view->status;
    const struct raft_status *before = &member->seen;
    uint64_t known = before->last_index;
    bool leads_on =
        before->role == RAFT_LEADER && now->role == RAFT_LEADER && before->term == now->term;
    if (leads_on && (view->log_rewrites != member->rewrites || now->last_index < known)) {
        inv_fail(inv, "Leader Append-Only: %lu changed its log while it led term %lu",
                 LU(member->id), LU(now->term));
        return;
    }
    bool rewritten = view->log_rewrites != member->rewrites;
    uint64_t mark = now->first_index - 1;
    if (mark > known || (rewritten && mark > before->commit_index)) {
        mirror_restart(inv, member, view); /* a snapshot took the place of the log */
        known = mark;
    } else if (rewritten) {
        known = BASE_MAX(BASE_MIN(before->commit_index, now->last_index), mark);
    }
    if (inv->failure[0] != '\0') {
        return;
    }
    if (known > now->last_index ||
        (known >= now->first_index &&
         view->entry_at(view->ctx, known)->term != mirror_at(member, known)->term)) {
        inv_fail(inv, "Monotone: %lu lost or changed entry %lu, which was to stay", LU(member->id),
                 LU(known));
        return;
    }
    mirror_read(inv, member, view, known + 1);
    mirror_trim(member, view);
}

/* ---- rules ---- */

/* A snapshot counts once it is installed; until then the disk holds what it held. */
static void durable_follow(struct raft_invariants *inv, struct member *member,
                           const struct raft_status *now)
{
    bool installing = now->first_index - 1 > now->applied_index;
    if (installing) {
        /* Of the log that is given up, only what was committed has to survive. */
        member->durable_index =
            BASE_MIN(member->durable_index, member->alive ? member->seen.commit_index : 0);
    } else {
        member->durable_index = now->persisted_index;
    }
    member->durable_chain = member_chain(inv, member, member->durable_index);
    bool is_new_term = member->peak_term != now->term;
    member->peak_term = now->term;
    member->peak_index =
        is_new_term ? member->durable_index : BASE_MAX(member->peak_index, member->durable_index);
}

static bool member_holds(const struct raft_invariants *inv, const struct member *member,
                         uint64_t index)
{
    if (member->damaged) {
        return true; /* rot takes away what was durable when it was counted */
    }
    return index <= member->durable_index &&
           member_chain(inv, member, index) == truth_at(inv, index)->link.chain;
}

static uint32_t voters_holding(const struct raft_invariants *inv,
                               const struct raft_conf_state *conf, uint64_t index)
{
    uint32_t have = 0;
    for (uint32_t i = 0; i < conf->voter_count; i++) {
        const struct member *voter = member_find(inv, conf->voters[i]);
        have += voter != NULL && member_holds(inv, voter, index) ? 1u : 0u;
    }
    return have;
}

/* One configuration change may have been applied since the last view: either quorum will do. */
static void check_quorum_durable(struct raft_invariants *inv, const struct member *member,
                                 const struct raft_view *view)
{
    uint64_t index = view->status.commit_index;
    uint32_t have = voters_holding(inv, &view->conf, index);
    if (2 * have > view->conf.voter_count ||
        2 * voters_holding(inv, &member->conf, index) > member->conf.voter_count) {
        return;
    }
    inv_fail(inv, "Durable: %lu commits %lu with %u of %u disks", LU(member->id), LU(index), have,
             view->conf.voter_count);
}

static void check_commit(struct raft_invariants *inv, struct member *member,
                         const struct raft_view *view)
{
    const struct raft_status *now = &view->status;
    uint64_t known = BASE_MIN(now->commit_index, inv->truth_last);
    if (known >= member->base && truth_has(inv, known) &&
        mirror_at(member, known)->chain != truth_at(inv, known)->link.chain) {
        inv_fail(inv, "State Machine Safety: %lu commits up to %lu what others did not",
                 LU(member->id), LU(known));
        return;
    }
    if (now->commit_index <= inv->truth_last) {
        return;
    }
    for (uint64_t i = inv->truth_last + 1; i <= now->commit_index; i++) {
        uint64_t commit_term = BASE_MAX(now->term, truth_at(inv, i - 1)->commit_term);
        truth_push(inv, i,
                   (struct truth){.link = *mirror_at(member, i), .commit_term = commit_term});
        inv->counts.commits++;
    }
    if (member->alive) { /* at the start of a life it is what the disk says */
        check_quorum_durable(inv, member, view);
        bool led = member->seen.role == RAFT_LEADER && member->seen.term == now->term;
        if (led && now->role == RAFT_LEADER &&
            mirror_at(member, now->commit_index)->term != now->term) {
            inv_fail(inv, "Leader %lu of term %lu counts copies of an older entry (Raft 5.4.2)",
                     LU(member->id), LU(now->term));
        }
    }
}

/* What was committed in earlier terms must be in the log of who has won. */
static void check_election(struct raft_invariants *inv, const struct member *member,
                           const struct raft_status *now)
{
    uint64_t leader = pair_claim(&inv->leaders, now->term, 0, member->id);
    if (leader != member->id) {
        inv_fail(inv, "Election Safety: %lu and %lu lead term %lu", LU(leader), LU(member->id),
                 LU(now->term));
        return;
    }
    uint64_t low = inv->truth_base;
    uint64_t high = inv->truth_last;
    while (low < high) { /* the last index committed in an earlier term */
        uint64_t middle = high - (high - low) / 2;
        if (truth_at(inv, middle)->commit_term < now->term) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    inv->counts.elections++;
    if (low > now->last_index ||
        (low >= member->base && mirror_at(member, low)->chain != truth_at(inv, low)->link.chain)) {
        inv_fail(inv, "Leader Completeness: %lu leads term %lu without what is committed up to %lu",
                 LU(member->id), LU(now->term), LU(low));
    }
}

static void check_life(struct raft_invariants *inv, const struct member *member,
                       const struct raft_status *now)
{
    const struct raft_status *before = &member->seen;
    if (now->term < before->term || now->commit_index < before->commit_index) {
        inv_fail(inv, "Monotone: %lu goes back from term %lu, commit %lu to term %lu, commit %lu",
                 LU(now->id), LU(before->term), LU(before->commit_index), LU(now->term),
                 LU(now->commit_index));
    }
    if (now->term == before->term && before->vote != RAFT_NO_ID && now->vote != before->vote) {
        inv_fail(inv, "One Vote: %lu changes its vote in term %lu from %lu to %lu", LU(now->id),
                 LU(now->term), LU(before->vote), LU(now->vote));
    }
    if (now->applied_index < before->applied_index && !member->damaged) {
        inv_fail(inv, "Monotone: %lu goes back from applied %lu to %lu", LU(now->id),
                 LU(before->applied_index), LU(now->applied_index));
    }
}

static void check_cursors(struct raft_invariants *inv, const struct member *member,
                          const struct raft_status *now)
{
    if (now->commit_index > now->last_index || now->persisted_index > now->last_index ||
        now->commit_index + 1 < now->first_index) {
        inv_fail(inv, "Cursors of %lu: log %lu to %lu, persisted %lu, commit %lu", LU(now->id),
                 LU(now->first_index), LU(now->last_index), LU(now->persisted_index),
                 LU(now->commit_index));
    } else if (!member->damaged && (now->applied_index > now->commit_index ||
                                    now->applied_index > now->persisted_index)) {
        inv_fail(inv, "Durable: %lu applied %lu, committed %lu, its disk has %lu", LU(now->id),
                 LU(now->applied_index), LU(now->commit_index), LU(now->persisted_index));
    }
}

/* What a former life called durable is there, unless rot was noticed. */
static void check_restart(struct raft_invariants *inv, const struct member *member,
                          const struct raft_status *now)
{
    const struct raft_hard_state *durable = &member->hard_state;
    if (member->damaged) {
        return;
    }
    if (now->last_index < member->durable_index ||
        (member->durable_index >= member->base &&
         mirror_at(member, member->durable_index)->chain != member->durable_chain)) {
        inv_fail(inv, "Durable: %lu has lost or changed its log below %lu over a restart",
                 LU(now->id), LU(member->durable_index));
    }
    if (!member->knows_hard_state) {
        return;
    }
    if (now->term < durable->term || now->commit_index < durable->commit) {
        inv_fail(inv,
                 "Monotone: %lu restarts in term %lu, commit %lu; term %lu, commit %lu were"
                 " durable",
                 LU(now->id), LU(now->term), LU(now->commit_index), LU(durable->term),
                 LU(durable->commit));
    }
    if (now->term == durable->term && durable->vote != RAFT_NO_ID && now->vote != durable->vote) {
        inv_fail(inv, "One Vote: %lu forgot over a restart that it voted for %lu in term %lu",
                 LU(now->id), LU(durable->vote), LU(now->term));
    }
}

static void life_begin(struct raft_invariants *inv, struct member *member,
                       const struct raft_view *view)
{
    bool is_first = member->mirror == NULL;
    if (view->status.suspect) {
        member->damaged = true;
        member->knows_hard_state = false;
    }
    mirror_restart(inv, member, view);
    if (inv->failure[0] != '\0') {
        return;
    }
    mirror_read(inv, member, view, member->base + 1);
    if (!is_first && inv->failure[0] == '\0') {
        check_restart(inv, member, &view->status);
    }
    if (member->knows_hard_state) {
        /* A member makes durable what it has read before it starts with it: also a vote whose flush
         * failed, and of which nobody was told. */
        member->hard_state = (struct raft_hard_state){.term = view->status.term,
                                                      .vote = view->status.vote,
                                                      .commit = view->status.commit_index};
    }
    member->applied = view->status.applied_index;
}

/* Raft 5.4.2: a leader commits by counting copies of its own term's entries only. Dissertation 4.1:
 * it begins no change of the members before the one before it is applied. */
static void check_leader(struct raft_invariants *inv, const struct member *member,
                         const struct raft_view *view, bool led)
{
    const struct raft_status *now = &view->status;
    uint64_t first = BASE_MAX(now->applied_index + 1, now->first_index);
    uint32_t changes = 0;
    if (led && now->commit_index > member->seen.commit_index &&
        now->commit_index >= now->first_index &&
        view->entry_at(view->ctx, now->commit_index)->term != now->term) {
        inv_fail(inv, "Commit Rule: leader %lu of term %lu commits %lu, an entry of an older term",
                 LU(now->id), LU(now->term), LU(now->commit_index));
    }
    for (uint64_t index = first; index <= now->last_index; index++) {
        const struct raft_entry *entry = view->entry_at(view->ctx, index);
        changes += entry->term == now->term && entry->type != RAFT_ENTRY_NORMAL ? 1u : 0u;
    }
    if (changes > 1) {
        inv_fail(inv, "One Change: leader %lu has %lu changes of the members under way",
                 LU(now->id), LU(changes));
    }
}

void raft_invariants_observe(struct raft_invariants *inv, const struct raft_view *view)
{
    if (inv->failure[0] != '\0') {
        return;
    }
    const struct raft_status *now = &view->status;
    struct member *member = member_ensure(inv, now->id);
    inv->counts.views++;
    if (member->alive) {
        check_life(inv, member, now);
        check_cursors(inv, member, now);
        if (inv->failure[0] == '\0') {
            mirror_follow(inv, member, view);
        }
    } else {
        life_begin(inv, member, view);
        check_cursors(inv, member, now);
    }
    if (inv->failure[0] != '\0') {
        return;
    }
    durable_follow(inv, member, now);
    check_commit(inv, member, view);
    bool led = member->alive && member->seen.role == RAFT_LEADER && member->seen.term == now->term;
    if (now->role == RAFT_LEADER && inv->failure[0] == '\0') {
        check_leader(inv, member, view, led);
    }
    if (now->role == RAFT_LEADER && !led && inv->failure[0] == '\0') {
        check_election(inv, member, now);
    }
    if (now->applied_index > member->applied || now->applied_index < member->seen.applied_index) {
        member->applied = now->applied_index; /* a snapshot was installed */
    }
    member->alive = true;
    member->seen = *now;
    member->conf = view->conf;
    member->rewrites = view->log_rewrites;
}

static const struct raft_entry *entry_of_raft(const void *ctx, uint64_t index)
{
    return raft_entry_of(ctx, index);
}

void raft_invariants_watch(struct raft_invariants *inv, const struct raft *raft)
{
    struct raft_view view = {
        .log_rewrites = raft_log_rewrites(raft),
        .entry_at = entry_of_raft,
        .ctx = raft,
    };
    raft_status(raft, &view.status);
    raft_conf_state(raft, &view.conf);
    view.mark_term = raft_term_of(raft, view.status.first_index - 1);
    raft_invariants_observe(inv, &view);
}

/* ---- what else is told ---- */

void raft_invariants_stopped(struct raft_invariants *inv, uint64_t id)
{
    member_ensure(inv, id)->alive = false;
}

void raft_invariants_durable(struct raft_invariants *inv, uint64_t id,
                             const struct raft_hard_state *hard_state)
{
    struct member *member = member_ensure(inv, id);
    member->knows_hard_state = true;
    member->hard_state = *hard_state;
}

void raft_invariants_applied(struct raft_invariants *inv, uint64_t id,
                             const struct raft_entry *entry, const struct raft_conf_state *conf)
{
    struct member *member = member_ensure(inv, id);
    if (inv->failure[0] != '\0') {
        return;
    }
    uint64_t index = entry->index;
    if (index != member->applied + 1 || index <= inv->truth_base || !truth_has(inv, index) ||
        link_after(truth_at(inv, index - 1)->link, entry).chain !=
            truth_at(inv, index)->link.chain) {
        inv_fail(inv, "State Machine Safety: %lu applies %lu after %lu, not what was committed",
                 LU(id), LU(index), LU(member->applied));
        return;
    }
    if (index > member->durable_index) {
        inv_fail(inv, "Durable: %lu applies %lu, its disk ends at %lu", LU(id), LU(index),
                 LU(member->durable_index));
    }
    struct truth *truth = truth_at(inv, index);
    uint64_t conf_hash = conf == NULL ? truth->conf_hash : hash_conf(conf);
    if (truth->conf_hash != 0 && truth->conf_hash != conf_hash) {
        inv_fail(inv, "State Machine Safety: %lu has another configuration at %lu", LU(id),
                 LU(index));
    }
    truth->conf_hash = conf_hash;
    member->applied = index;
    inv->counts.applied++;
}

static void sent_vote(struct raft_invariants *inv, const struct raft_message *message,
                      uint64_t candidate)
{
    const struct member *voter = member_ensure(inv, message->from);
    uint64_t vote = pair_claim(&inv->votes, message->from, message->term, candidate);
    inv->counts.votes++;
    if (vote != candidate) {
        inv_fail(inv, "One Vote: %lu votes for %lu and %lu in term %lu", LU(message->from),
                 LU(vote), LU(candidate), LU(message->term));
    }
    const struct raft_hard_state *durable = &voter->hard_state;
    if (voter->knows_hard_state && !voter->damaged &&
        (durable->term < message->term ||
         (durable->term == message->term && durable->vote != candidate))) {
        inv_fail(inv, "Durable: %lu votes for %lu in term %lu before its disk knows",
                 LU(message->from), LU(candidate), LU(message->term));
    }
}

static void sent_acknowledgement(struct raft_invariants *inv, const struct raft_message *message)
{
    const struct member *member = member_ensure(inv, message->from);
    inv->counts.acknowledgements++;
    /* In a later term its log may have been cut below. */
    if (member->seen.term <= message->term && !member->damaged &&
        message->index > BASE_MAX(member->durable_index, member->peak_index)) {
        inv_fail(inv, "Durable: %lu acknowledges %lu, its disk ends at %lu", LU(message->from),
                 LU(message->index), LU(member->durable_index));
    }
}

static void sent_snapshot(struct raft_invariants *inv, const struct raft_message *message)
{
    const struct raft_snapshot_mark *mark = message->snapshot;
    const struct truth *truth = truth_has(inv, mark->index) ? truth_at(inv, mark->index) : NULL;
    if (truth == NULL || truth->link.term != mark->term ||
        (truth->conf_hash != 0 && truth->conf_hash != hash_conf(&mark->conf_state))) {
        inv_fail(inv, "State Machine Safety: %lu sends a snapshot that is no state at %lu",
                 LU(message->from), LU(mark->index));
    }
}

void raft_invariants_sent(struct raft_invariants *inv, const struct raft_message *message)
{
    if (inv->failure[0] != '\0') {
        return;
    }
    bool from_leader = message->type == RAFT_MSG_APP || message->type == RAFT_MSG_HEARTBEAT;
    if (from_leader && message->commit > inv->truth_last) {
        inv_fail(inv, "State Machine Safety: %lu tells commit %lu, which nobody has",
                 LU(message->from), LU(message->commit));
    } else if (message->type == RAFT_MSG_VOTE) {
        sent_vote(inv, message, message->from);
    } else if (message->type == RAFT_MSG_VOTE_RESP && !message->reject) {
        sent_vote(inv, message, message->to);
    } else if (message->type == RAFT_MSG_APP_RESP && !message->reject) {
        sent_acknowledgement(inv, message);
    } else if (message->type == RAFT_MSG_SNAP) {
        sent_snapshot(inv, message);
    }
}

/* ---- life of the checker ---- */

struct raft_invariants *raft_invariants_new(void)
{
    return mem_zalloc(sizeof(struct raft_invariants));
}

void raft_invariants_free(struct raft_invariants *inv)
{
    if (inv == NULL) {
        return;
    }
    for (uint32_t i = 0; i < inv->member_count; i++) {
        mem_free(inv->members[i]->mirror);
        mem_free(inv->members[i]);
    }
    mem_free(inv->members);
    mem_free(inv->truth);
    mem_free(inv->links.slots);
    mem_free(inv->votes.slots);
    mem_free(inv->leaders.slots);
    mem_free(inv);
}

const char *raft_invariants_failure(const struct raft_invariants *inv)
{
    return inv->failure[0] == '\0' ? NULL : inv->failure;
}

uint64_t raft_invariants_committed(const struct raft_invariants *inv)
{
    return inv->truth_last;
}

uint64_t raft_invariants_committed_term(const struct raft_invariants *inv, uint64_t index)
{
    return truth_has(inv, index) ? truth_at(inv, index)->link.term : 0;
}

void raft_invariants_counts(const struct raft_invariants *inv, struct raft_invariants_counts *out)
{
    *out = inv->counts;
}
