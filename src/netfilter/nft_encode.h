/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_NFT_ENCODE_H
#define NETFILTER_NFT_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/addr.h>

struct nft_batch;
struct nftnl_rule;
struct tg_syn_options;

/* Tables, chains, sets and rules as messages of a batch. Pure; out of memory marks the batch. */

void nft_encode_table(struct nft_batch *batch, const char *table, uint32_t flags);
void nft_encode_delete_table(struct nft_batch *batch, const char *table);

struct nft_chain_spec {
	const char *name;
	bool base;     /* type filter, policy accept; below only for such */
	uint32_t hook; /* enum nf_inet_hooks */
	int32_t priority;
	const char *const *devices; /* of hook ingress; else none */
	size_t device_count;
};
void nft_encode_chain(struct nft_batch *batch, const char *table,
		      const struct nft_chain_spec *spec);
void nft_encode_delete_chain(struct nft_batch *batch, const char *table, const char *chain);
/* Every rule of every chain. */
void nft_encode_flush_rules(struct nft_batch *batch, const char *table);

struct nft_set_spec {
	const char *name;
	uint32_t key_type; /* as nft numbers them */
	uint32_t key_len;
	uint32_t flags;
	uint32_t size;       /* 0: no bound */
	uint64_t timeout_ms; /* 0: none */
	uint32_t id;         /* of an anonymous set, by which a rule of the same batch finds it */
};
#define NFT_ENCODE_TYPE_IPV4 7
#define NFT_ENCODE_TYPE_IPV6 8
#define NFT_ENCODE_TYPE_PROTOCOL 12
#define NFT_ENCODE_TYPE_SERVICE 13
#define NFT_ENCODE_TYPE_MARK 19
/* One behind the other. */
#define NFT_ENCODE_TYPE_AND(first, second) ((first) << 6 | (second))

void nft_encode_set(struct nft_batch *batch, const char *table, const struct nft_set_spec *spec);
void nft_encode_delete_set(struct nft_batch *batch, const char *table, const char *set);
/* All its elements; the set stays. */
void nft_encode_flush_set(struct nft_batch *batch, const char *table, const char *set);

/* A rule under construction: begin, then matches from left to right, then one verdict ends it. */
struct nft_rule {
	struct nft_batch *batch;
	struct nftnl_rule *rule;
	bool failed;
	bool first; /* goes ahead of the chain's other rules */
};
void nft_rule_begin(struct nft_rule *rule, struct nft_batch *batch, const char *table,
		    const char *chain);
void nft_rule_end(struct nft_rule *rule);

void nft_rule_match_outside(struct nft_rule *rule); /* did not come by loopback */
void nft_rule_match_tcp(struct nft_rule *rule);
void nft_rule_match_syn(struct nft_rule *rule); /* SYN, and neither ACK nor RST nor FIN */
void nft_rule_match_ack(struct nft_rule *rule); /* ACK, and neither SYN nor RST */
void nft_rule_match_port(struct nft_rule *rule, uint16_t port);
void nft_rule_match_port_set(struct nft_rule *rule, const char *set, uint32_t set_id);
void nft_rule_match_source(struct nft_rule *rule, enum tg_family family, uint8_t prefix_len,
			   const char *set);
void nft_rule_match_family(struct nft_rule *rule, enum tg_family family);
/* Behind a match of the same family, as those that follow. */
void nft_rule_match_not_source(struct nft_rule *rule, enum tg_family family, uint8_t prefix_len,
			       const char *set);
struct nft_limit_spec {
	uint64_t count, unit_s;
	uint32_t burst;
};
/* No more packets than that. */
void nft_rule_match_pace(struct nft_rule *rule, const struct nft_limit_spec *spec);
struct nft_meter_spec {
	const char *set;
	struct nft_limit_spec over;
	uint32_t buckets; /* the key is one of so many, at random by source; 0: the source itself */
	bool stays;       /* an element's time begins anew with every packet */
};
/* Packets of the source beyond a rate, counted in a set in which it becomes an element; none for
 * which there is no room there. */
void nft_rule_match_meter(struct nft_rule *rule, enum tg_family family, uint8_t prefix_len,
			  const struct nft_meter_spec *spec);
/* Of a connection that is in the set, and within its element's limit; TCP. And: puts it there. */
void nft_rule_match_flow(struct nft_rule *rule, enum tg_family family, const char *set);
void nft_rule_add_flow(struct nft_rule *rule, enum tg_family family, const char *set,
		       const struct nft_limit_spec *pace);
void nft_rule_log(struct nft_rule *rule, uint16_t group, const char *prefix); /* NFLOG */
void nft_rule_match_destination(struct nft_rule *rule, enum tg_family family, const char *set,
				uint32_t set_id);
/* More than so many connections of the source, counted in a set of which each is an element. */
void nft_rule_match_over(struct nft_rule *rule, enum tg_family family, uint8_t prefix_len,
			 const char *set, uint32_t count);
void nft_rule_match_ct_new(struct nft_rule *rule);
void nft_rule_match_ct_stray(struct nft_rule *rule); /* invalid or untracked */
void nft_rule_match_ct_untracked(struct nft_rule *rule);
void nft_rule_match_ct_looks(struct nft_rule *rule);    /* not that */
void nft_rule_match_ct_original(struct nft_rule *rule); /* from who opened the connection */
void nft_rule_ct_events(struct nft_rule *rule, uint32_t mask);
/* Adds the protocol to a set, or gives it its whole time anew. */
void nft_rule_note_protocol(struct nft_rule *rule, const char *set);
void nft_rule_notrack(struct nft_rule *rule); /* the packet goes on */
/* SYNPROXY; ends the rule. */
void nft_rule_answer(struct nft_rule *rule, const struct tg_syn_options *options,
		     enum tg_family family);
void nft_rule_reset(struct nft_rule *rule); /* reject with a TCP reset; ends the rule */
void nft_rule_verdict(struct nft_rule *rule, int verdict, const char *chain); /* NF_*, NFT_JUMP */

#endif
