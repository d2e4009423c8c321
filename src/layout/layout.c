/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns which sets of bans a config needs and what they are called, so that a name says all about
 * the bans in it to the daemon that adopts them.
 */
#include "layout/layout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/config.h>

#include "base/util.h"

#define REJECT_PREFIX "reject."
#define CAP_PREFIX "cap"
#define COUNT_PREFIX "count"
#define VERIFIED "verified"
#define BUDGET "-budget."
#define SYNPROXY "-synproxy."
#define PROXIED "-proxied."

static const char *const own_names[] = {[TG_IPV4] = "own4", [TG_IPV6] = "own6"};
static const char *const allow_names[] = {[TG_IPV4] = "allow4", [TG_IPV6] = "allow6"};

enum layout_form layout_form(enum tg_action action)
{
	return action == TG_ACTION_REJECT ? LAYOUT_REJECT
	       : action == TG_ACTION_CAP  ? LAYOUT_CAP
					  : LAYOUT_DROP;
}

static const char *owner_name(const struct layout *layout, uint16_t policy)
{
	return policy == TG_NO_INDEX ? TG_NAME_HAND : layout->config->policies[policy].name;
}

uint32_t layout_key_len(const struct layout_set *set)
{
	return set->family == LAYOUT_NO_FAMILY ? 1
					       : tg_family_bits((enum tg_family)set->family) / 8u;
}

static bool is_state(const struct layout_set *set)
{
	return set->form == LAYOUT_BUDGET || set->form == LAYOUT_SYNPROXY;
}

/* OWNER-WORD-ipF-LEN; the word says scope and form. OWNER-budget.LIMIT, OWNER-synproxy.LIMIT. */
static void name_set(struct layout_set *set, const char *owner, const char *limit)
{
	const char family = set->family == TG_IPV4 ? '4' : '6';
	const char *scope = tg_scope_name((enum tg_scope)set->scope);
	set->counts[0] = '\0';
	if (set->form == LAYOUT_BUDGET) {
		(void)snprintf(set->name, sizeof(set->name), "%s" BUDGET "%s", owner, limit);
	} else if (set->form == LAYOUT_SYNPROXY) {
		(void)snprintf(set->name, sizeof(set->name), "%s" SYNPROXY "%s", owner, limit);
		(void)snprintf(set->counts, sizeof(set->counts), "%s" PROXIED "%s", owner, limit);
	} else if (set->form == LAYOUT_VERIFIED) {
		(void)snprintf(set->name, sizeof(set->name), "%s-" VERIFIED "-ip%c-%u", owner,
			       family, set->prefix_len);
	} else if (set->form == LAYOUT_CAP) {
		(void)snprintf(set->name, sizeof(set->name), "%s-" CAP_PREFIX "%u-ip%c-%u", owner,
			       set->cap, family, set->prefix_len);
		(void)snprintf(set->counts, sizeof(set->counts), "%s-" COUNT_PREFIX "%u-ip%c-%u",
			       owner, set->cap, family, set->prefix_len);
	} else {
		(void)snprintf(set->name, sizeof(set->name), "%s-%s%s-ip%c-%u", owner,
			       set->form == LAYOUT_REJECT ? REJECT_PREFIX : "", scope, family,
			       set->prefix_len);
	}
}

static bool is_same(const struct layout_set *a, const struct layout_set *b)
{
	return a->policy == b->policy && a->scope == b->scope && a->form == b->form &&
	       a->family == b->family && a->prefix_len == b->prefix_len && a->cap == b->cap &&
	       a->limit == b->limit;
}

/* Of a service's state. */
static const char *limit_name(const struct layout *layout, const struct layout_set *set)
{
	return is_state(set) ? layout->config->policies[set->policy].limits[set->limit].name : "";
}

/* 0 also when it is there already. */
static int add(struct layout *layout, const struct layout_set *what, size_t from, size_t *ret_index)
{
	for (size_t i = from; i < layout->count; i++) {
		if (is_same(&layout->sets[i], what)) {
			*ret_index = i;
			return 0;
		}
	}
	if (layout->count == layout->capacity) {
		size_t capacity = layout->capacity ? 2 * layout->capacity : 16;
		struct layout_set *sets = reallocarray(layout->sets, capacity, sizeof(*sets));
		if (!sets)
			return -ENOMEM;
		layout->sets = sets;
		layout->capacity = capacity;
	}
	struct layout_set *set = &layout->sets[layout->count];
	*set = *what;
	set->present = false;
	name_set(set, owner_name(layout, set->policy), limit_name(layout, set));
	*ret_index = layout->count++;
	return 0;
}

static int add_families(struct layout *layout, struct layout_set set, const struct tg_limit *limit,
			size_t from)
{
	for (enum tg_family family = 0; family < TG_FAMILY_COUNT; family++) {
		size_t ignored;
		set.family = (uint8_t)family;
		set.prefix_len = limit->prefix_len[family];
		int err = add(layout, &set, from, &ignored);
		if (err < 0)
			return err;
	}
	return 0;
}

/* What stands in for a step that waits for its witness is a rate-limit of new connections. */
static struct layout_set stand_in_set(uint16_t policy)
{
	return (struct layout_set){.policy = policy, .scope = TG_SCOPE_NEW, .form = LAYOUT_DROP};
}

static struct layout_set step_set(uint16_t policy, const struct tg_step *step)
{
	return (struct layout_set){.policy = policy,
				   .scope = (uint8_t)step->scope,
				   .form = (uint8_t)layout_form(step->action),
				   .cap = (uint16_t)step->cap};
}

static struct layout_set state_set(uint16_t policy, uint16_t limit, enum layout_form form)
{
	return (struct layout_set){.policy = policy,
				   .scope = TG_SCOPE_NEW,
				   .form = (uint8_t)form,
				   .family = LAYOUT_NO_FAMILY,
				   .prefix_len = TG_TOTAL_LEN,
				   .limit = limit};
}

static struct layout_set verified_set(uint16_t policy, enum tg_family family)
{
	return (struct layout_set){.policy = policy,
				   .scope = TG_SCOPE_NEW,
				   .form = LAYOUT_VERIFIED,
				   .family = (uint8_t)family,
				   .prefix_len = LAYOUT_VERIFIED_LEN(family)};
}

/* What a total's action makes. */
static enum layout_form state_form(enum tg_action action)
{
	return action == TG_ACTION_SYNPROXY ? LAYOUT_SYNPROXY : LAYOUT_BUDGET;
}

static int add_states(struct layout *layout, uint16_t policy, uint16_t index, size_t from)
{
	const struct tg_limit *limit = &layout->config->policies[policy].limits[index];
	size_t ignored;
	int err = 0;
	for (enum tg_family family = 0; family < TG_FAMILY_COUNT && err == 0; family++) {
		const struct layout_set verified = verified_set(policy, family);
		err = add(layout, &verified, from, &ignored);
	}
	for (size_t i = 0; i < limit->step_count && err == 0; i++) {
		const enum tg_action action = limit->steps[i].action;
		const struct layout_set state = state_set(policy, index, state_form(action));
		if (action != TG_ACTION_OBSERVE)
			err = add(layout, &state, from, &ignored);
	}
	return err;
}

static int add_limit(struct layout *layout, uint16_t policy, uint16_t index, size_t from)
{
	const struct tg_limit *limit = &layout->config->policies[policy].limits[index];
	if (limit->total)
		return tg_limit_acts(limit) ? add_states(layout, policy, index, from) : 0;
	for (size_t i = 0; i < limit->step_count; i++) {
		const struct tg_step *step = &limit->steps[i];
		if (step->action == TG_ACTION_OBSERVE)
			continue;
		int err = add_families(layout, step_set(policy, step), limit, from);
		if (err == 0 && step->action > TG_ACTION_RATE_LIMIT)
			err = add_families(layout, stand_in_set(policy), limit, from);
		if (err < 0)
			return err;
	}
	return 0;
}

static int add_policy(struct layout *layout, uint16_t index)
{
	const struct tg_policy *policy = &layout->config->policies[index];
	const size_t from = layout->count;
	if (strcmp(policy->name, TG_NAME_HAND) == 0 || strlen(policy->name) > TG_NAME_MAX)
		return -EINVAL;
	/* Also for limits that only observe: a change of mode then changes no rule. */
	for (size_t i = 0; i < policy->limit_count; i++) {
		int err = add_limit(layout, index, (uint16_t)i, from);
		if (err < 0)
			return err;
	}
	return 0;
}

int layout_init(struct layout *layout, const struct tg_config *config,
		const struct tg_prefix_set *protected_set, const struct tg_prefix_set *allow,
		uint32_t set_size)
{
	struct layout fresh = {.config = config,
			       .protected_set = protected_set,
			       .allow = allow,
			       .set_size = set_size};
	for (size_t i = 0; i < config->policy_count; i++) {
		int err = add_policy(&fresh, (uint16_t)i);
		if (err < 0) {
			layout_finish(&fresh);
			return err;
		}
	}
	int err = layout_fuses_init(&fresh);
	if (err < 0) {
		layout_finish(&fresh);
		return err;
	}
	*layout = fresh;
	return 0;
}

void layout_finish(struct layout *layout)
{
	layout_fuses_finish(layout);
	free(layout->sets);
	*layout = (struct layout){0};
}

static bool step_admits(const struct tg_step *step, const struct layout_set *set)
{
	if (step->action == TG_ACTION_OBSERVE)
		return false;
	const struct layout_set own = step_set(set->policy, step);
	const struct layout_set stand_in = stand_in_set(set->policy);
	return (own.scope == set->scope && own.form == set->form && own.cap == set->cap) ||
	       (step->action > TG_ACTION_RATE_LIMIT && stand_in.scope == set->scope &&
		stand_in.form == set->form);
}

/* Of that limit; with those who pass by it, of any. */
static bool has_state(const struct layout *layout, const struct layout_set *set)
{
	if (set->policy == TG_NO_INDEX)
		return false;
	const struct tg_policy *policy = &layout->config->policies[set->policy];
	for (size_t i = 0; i < policy->limit_count; i++) {
		const struct tg_limit *limit = &policy->limits[i];
		const enum tg_action action =
			set->form == LAYOUT_SYNPROXY ? TG_ACTION_SYNPROXY : TG_ACTION_RATE_LIMIT;
		if (limit->total &&
		    (set->form == LAYOUT_VERIFIED ? tg_limit_acts(limit)
						  : set->limit == i && tg_limit_has(limit, action)))
			return true;
	}
	return false;
}

/*
 * Can there be such bans? By hand all but those of ports, of which the hand knows none. Of a
 * policy those of its limits, and single addresses out of a wider prefix: a network that holds a
 * protected address is not held responsible as a whole.
 */
static bool admits(const struct layout *layout, const struct layout_set *set)
{
	const enum tg_family family = (enum tg_family)set->family;
	if (set->form == LAYOUT_CAP && (set->scope != TG_SCOPE_NEW || set->cap == 0))
		return false;
	if (is_state(set) || set->form == LAYOUT_VERIFIED)
		return has_state(layout, set);
	if (set->policy == TG_NO_INDEX)
		return set->scope != TG_SCOPE_PORTS;
	const struct tg_policy *policy = &layout->config->policies[set->policy];
	for (size_t i = 0; i < policy->limit_count; i++) {
		const struct tg_limit *limit = &policy->limits[i];
		if (limit->total || (limit->prefix_len[family] != set->prefix_len &&
				     set->prefix_len != tg_family_bits(family)))
			continue;
		for (size_t k = 0; k < limit->step_count; k++)
			if (step_admits(&limit->steps[k], set))
				return true;
	}
	return false;
}

int layout_find(struct layout *layout, const struct tg_ban *ban, size_t *ret_index)
{
	const struct layout_set of_source = {
		.policy = ban->policy,
		.scope = (uint8_t)ban->scope,
		.form = (uint8_t)layout_form(ban->action),
		.family = ban->source.addr.family,
		.prefix_len = ban->source.len,
		.cap = ban->action == TG_ACTION_CAP ? (uint16_t)ban->to.count : 0,
	};
	const struct layout_set set =
		tg_prefix_is_total(&ban->source)
			? state_set(ban->policy, ban->limit, state_form(ban->action))
			: of_source;
	if (!admits(layout, &set))
		return -ENOENT;
	return add(layout, &set, 0, ret_index);
}

int layout_find_verified(struct layout *layout, uint16_t policy, enum tg_family family,
			 size_t *ret_index)
{
	const struct layout_set set = verified_set(policy, family);
	return has_state(layout, &set) ? add(layout, &set, 0, ret_index) : -ENOENT;
}

bool layout_next_sibling(const struct layout *layout, size_t index, size_t *at, size_t *ret_index)
{
	const struct layout_set *set = &layout->sets[index];
	for (; *at < layout->count; (*at)++) {
		const struct layout_set *other = &layout->sets[*at];
		if (*at == index || other->policy != set->policy || other->scope != set->scope ||
		    other->family != set->family || other->prefix_len != set->prefix_len ||
		    other->limit != set->limit || other->form == LAYOUT_VERIFIED)
			continue;
		*ret_index = (*at)++;
		return true;
	}
	return false;
}

/* Cuts "-WORD" from the end of name and says where WORD begins; NULL if there is none. */
static const char *cut_last(char *name)
{
	char *dash = strrchr(name, '-');
	if (!dash || dash == name)
		return NULL;
	*dash = '\0';
	return dash + 1;
}

/* What the word of a name says; whatever is read too generously here does not come out the same. */
static bool parse_word(const char *word, struct layout_set *set)
{
	set->form = LAYOUT_DROP;
	if (strcmp(word, VERIFIED) == 0) {
		set->form = LAYOUT_VERIFIED;
		set->scope = TG_SCOPE_NEW;
		return true;
	}
	if (strncmp(word, CAP_PREFIX, strlen(CAP_PREFIX)) == 0 ||
	    strncmp(word, COUNT_PREFIX, strlen(COUNT_PREFIX)) == 0) {
		const unsigned long cap = strtoul(word + strcspn(word, "0123456789"), NULL, 10);
		set->form = LAYOUT_CAP;
		set->scope = TG_SCOPE_NEW;
		set->cap = (uint16_t)cap;
		return cap > 0 && cap <= UINT16_MAX;
	}
	if (strncmp(word, REJECT_PREFIX, strlen(REJECT_PREFIX)) == 0) {
		set->form = LAYOUT_REJECT;
		word += strlen(REJECT_PREFIX);
	}
	for (enum tg_scope scope = 0; scope < TG_SCOPE_COUNT; scope++) {
		if (strcmp(word, tg_scope_name(scope)) == 0) {
			set->scope = (uint8_t)scope;
			return true;
		}
	}
	return false;
}

/* The words that are followed by a limit's name, for which no other name has a dot in it. */
static const struct {
	const char *word;
	enum layout_form form;
} state_words[] = {
	{BUDGET, LAYOUT_BUDGET}, {SYNPROXY, LAYOUT_SYNPROXY}, {PROXIED, LAYOUT_SYNPROXY}};

static const char *find_state(const char *name, size_t *ret_which)
{
	const char *word = NULL;
	for (*ret_which = 0; *ret_which < ARRAY_SIZE(state_words); ++*ret_which) {
		word = strstr(name, state_words[*ret_which].word);
		if (word)
			break;
	}
	return word;
}

/* OWNER-WORD.LIMIT. ret_limit: the limit's. */
static bool parse_state(char *rest, char ret_policy[static TG_NAME_MAX + 1],
			char ret_limit[static TG_NAME_MAX + 1], struct layout_set *ret_set)
{
	size_t which;
	const size_t owner_len = (size_t)(find_state(rest, &which) - rest);
	const char *limit = rest + owner_len + strlen(state_words[which].word);
	if (owner_len == 0 || owner_len > TG_NAME_MAX || strlen(limit) > TG_NAME_MAX)
		return false;
	rest[owner_len] = '\0';
	*ret_set = state_set(TG_NO_INDEX, 0, state_words[which].form);
	name_set(ret_set, rest, limit);
	(void)snprintf(ret_policy, TG_NAME_MAX + 1, "%s", rest);
	(void)snprintf(ret_limit, TG_NAME_MAX + 1, "%s", limit);
	return true;
}

/* The set that a name belongs to, as the one of its bans or as the one that counts. */
static bool parse(const char *name, char ret_policy[static TG_NAME_MAX + 1],
		  char ret_limit[static TG_NAME_MAX + 1], struct layout_set *ret_set)
{
	struct layout_set set = {.policy = TG_NO_INDEX};
	char rest[LAYOUT_NAME_MAX];
	if (strlen(name) >= sizeof(rest))
		return false;
	(void)snprintf(rest, sizeof(rest), "%s", name);
	ret_limit[0] = '\0';
	size_t which;
	if (find_state(rest, &which))
		return parse_state(rest, ret_policy, ret_limit, ret_set);
	const char *len = cut_last(rest), *family = len ? cut_last(rest) : NULL;
	const char *word = family ? cut_last(rest) : NULL;
	if (!word || strlen(rest) > TG_NAME_MAX || !parse_word(word, &set))
		return false;
	set.family = strcmp(family, "ip6") == 0 ? TG_IPV6 : TG_IPV4;
	const unsigned long prefix_len = strtoul(len, NULL, 10);
	if (prefix_len > tg_family_bits(set.family))
		return false;
	set.prefix_len = (uint8_t)prefix_len;
	name_set(&set, rest, "");
	(void)snprintf(ret_policy, TG_NAME_MAX + 1, "%s",
		       strcmp(rest, TG_NAME_HAND) == 0 ? "" : rest);
	*ret_set = set;
	return true;
}

bool layout_parse_name(const char *name, char ret_policy[static TG_NAME_MAX + 1],
		       struct layout_set *ret_set)
{
	struct layout_set set;
	char limit[TG_NAME_MAX + 1];
	if (!parse(name, ret_policy, limit, &set) || strcmp(set.name, name) != 0)
		return false;
	*ret_set = set;
	return true;
}

bool layout_parse_counts(const char *name, struct layout_set *ret_set)
{
	char policy[TG_NAME_MAX + 1], limit[TG_NAME_MAX + 1];
	struct layout_set set;
	if (!parse(name, policy, limit, &set) || strcmp(set.counts, name) != 0)
		return false;
	*ret_set = set;
	return true;
}

bool layout_counts_expire(const struct layout_set *set)
{
	return set->form == LAYOUT_SYNPROXY;
}

struct tg_syn_options layout_syn_options(const struct layout *layout, uint16_t policy)
{
	/* As Linux on Ethernet answers, if nothing is known. */
	static const struct tg_syn_options plain = {
		.mss = {1460, 1440}, .window_scale = 7, .timestamps = true, .sack = true};
	if (layout->config->policies[policy].syn_options)
		return *layout->config->policies[policy].syn_options;
	return layout->syn_options ? layout->syn_options[policy] : plain;
}

/* The limit of a service's state, in its policy. */
static bool find_limit(const struct layout *layout, struct layout_set *set, const char *limit)
{
	if (set->policy == TG_NO_INDEX)
		return false;
	const struct tg_policy *policy = &layout->config->policies[set->policy];
	for (uint16_t i = 0; i < policy->limit_count; i++) {
		set->limit = i;
		if (strcmp(policy->limits[i].name, limit) == 0)
			return true;
	}
	return false;
}

int layout_find_name(struct layout *layout, const char *name, size_t *ret_index)
{
	char policy[TG_NAME_MAX + 1], limit[TG_NAME_MAX + 1];
	struct layout_set set;
	if (!parse(name, policy, limit, &set) ||
	    (strcmp(set.name, name) != 0 && strcmp(set.counts, name) != 0))
		return -ENOENT;
	for (uint16_t i = 0; policy[0] && i < layout->config->policy_count; i++)
		if (strcmp(layout->config->policies[i].name, policy) == 0)
			set.policy = i;
	if (limit[0] && !find_limit(layout, &set, limit))
		return -ENOENT;
	if ((policy[0] && set.policy == TG_NO_INDEX) || !admits(layout, &set))
		return -ENOENT;
	return add(layout, &set, 0, ret_index);
}

bool layout_is_address_set(const char *name, enum tg_family *ret_family)
{
	for (enum tg_family family = 0; family < TG_FAMILY_COUNT; family++) {
		if (strcmp(name, own_names[family]) == 0 ||
		    strcmp(name, allow_names[family]) == 0) {
			*ret_family = family;
			return true;
		}
	}
	return false;
}

const char *layout_own_set(enum tg_family family)
{
	return own_names[family];
}

const char *layout_allow_set(enum tg_family family)
{
	return allow_names[family];
}
