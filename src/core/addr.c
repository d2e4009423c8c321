/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns what an address and a prefix are as text and as bits; the one place where IPv4-mapped IPv6
 * is folded. */
#include <tcpguard/addr.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

struct tg_addr tg_addr_from_ipv4(const void *bytes4)
{
	struct tg_addr addr = {.family = TG_IPV4};
	memcpy(addr.bytes, bytes4, 4);
	return addr;
}

struct tg_addr tg_addr_from_ipv6(const void *bytes16)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	if (memcmp(bytes16, mapped, sizeof(mapped)) == 0)
		return tg_addr_from_ipv4((const uint8_t *)bytes16 + 12);
	struct tg_addr addr = {.family = TG_IPV6};
	memcpy(addr.bytes, bytes16, 16);
	return addr;
}

bool tg_addr_parse(const char *text, struct tg_addr *ret_addr)
{
	uint8_t bytes[16];
	if (inet_pton(AF_INET, text, bytes) == 1) {
		*ret_addr = tg_addr_from_ipv4(bytes);
		return true;
	}
	if (inet_pton(AF_INET6, text, bytes) == 1) {
		*ret_addr = tg_addr_from_ipv6(bytes);
		return true;
	}
	return false;
}

const char *tg_addr_format(const struct tg_addr *addr, char buf[static TG_ADDR_STRLEN])
{
	/* Cannot fail: the family is one of two and the buffer is large enough for both. */
	(void)inet_ntop(addr->family == TG_IPV4 ? AF_INET : AF_INET6, addr->bytes, buf,
			TG_ADDR_STRLEN);
	return buf;
}

bool tg_addr_equal(const struct tg_addr *a, const struct tg_addr *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* Decimal digits only, without a leading zero, up to 128. */
static bool prefix_len_parse(const char *text, unsigned *ret_len)
{
	unsigned len = 0;
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 3 || text[digits] != '\0' || (digits > 1 && text[0] == '0'))
		return false;
	for (size_t i = 0; i < digits; i++)
		len = len * 10 + (unsigned)(text[i] - '0');
	*ret_len = len;
	return true;
}

const char *tg_prefix_parse(const char *text, struct tg_prefix *ret_prefix)
{
	char host[TG_ADDR_STRLEN];
	struct tg_addr addr;
	const char *slash = strchr(text, '/');
	size_t host_len = slash ? (size_t)(slash - text) : strlen(text);
	if (host_len == 0 || host_len >= sizeof(host))
		return "not an IPv4 or IPv6 address";
	memcpy(host, text, host_len);
	host[host_len] = '\0';
	if (!tg_addr_parse(host, &addr))
		return "not an IPv4 or IPv6 address";
	unsigned len = tg_family_bits(addr.family);
	if (slash) {
		if (!prefix_len_parse(slash + 1, &len))
			return "the prefix length is not a number";
		/* ::ffff:192.0.2.0/120 is 192.0.2.0/24: the length counts from where the address
		 * began. */
		if (addr.family == TG_IPV4 && strchr(host, ':')) {
			if (len > 128)
				return "the prefix length is over 128";
			if (len < 96)
				return "the prefix is wider than the IPv4-mapped addresses";
			len -= 96;
		}
		if (len > tg_family_bits(addr.family))
			return addr.family == TG_IPV4 ? "the prefix length is over 32"
						      : "the prefix length is over 128";
	}
	struct tg_prefix prefix = tg_addr_mask(&addr, (uint8_t)len);
	if (!tg_addr_equal(&prefix.addr, &addr))
		return "the address has bits set beyond the prefix length";
	*ret_prefix = prefix;
	return NULL;
}

const char *tg_prefix_format(const struct tg_prefix *prefix, char buf[static TG_PREFIX_STRLEN])
{
	char addr[TG_ADDR_STRLEN];
	if (tg_prefix_is_total(prefix)) {
		memcpy(buf, "total", sizeof("total"));
		return buf;
	}
	(void)snprintf(buf, TG_PREFIX_STRLEN, "%s/%u", tg_addr_format(&prefix->addr, addr),
		       prefix->len);
	return buf;
}

bool tg_prefix_equal(const struct tg_prefix *a, const struct tg_prefix *b)
{
	return a->len == b->len && tg_addr_equal(&a->addr, &b->addr);
}

bool tg_prefix_contains(const struct tg_prefix *prefix, const struct tg_addr *addr)
{
	if (prefix->addr.family != addr->family || tg_prefix_is_total(prefix))
		return false;
	struct tg_prefix masked = tg_addr_mask(addr, prefix->len);
	return tg_addr_equal(&masked.addr, &prefix->addr);
}

bool tg_prefix_overlaps(const struct tg_prefix *a, const struct tg_prefix *b)
{
	if (tg_prefix_is_total(a) || tg_prefix_is_total(b))
		return false;
	return a->len <= b->len ? tg_prefix_contains(a, &b->addr) : tg_prefix_contains(b, &a->addr);
}

struct tg_addr tg_prefix_last(const struct tg_prefix *prefix)
{
	struct tg_addr last = prefix->addr;
	const unsigned bytes = tg_family_bits(last.family) / 8;
	for (unsigned i = 0; i < bytes; i++) {
		unsigned keep = prefix->len > i * 8 ? prefix->len - i * 8 : 0;
		if (keep < 8)
			last.bytes[i] |= (uint8_t)(0xff >> keep);
	}
	return last;
}
