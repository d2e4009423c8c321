/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SipHash-1-3 against vectors from an implementation of our own in Python, written from
 * the paper with the number of rounds as a parameter; with 2 and 4 rounds it gives the
 * values that the paper's appendix A and the authors' table of vectors publish.
 */
#include "base/siphash.h"
#include "test.h"

/* Key 00 01 … 0f; message i is the i bytes 00 01 02 … */
static const uint64_t vectors[64] = {
	0xabac0158050fc4dc, 0xc9f49bf37d57ca93, 0x82cb9b024dc7d44d, 0x8bf80ab8e7ddf7fb,
	0xcf75576088d38328, 0xdef9d52f49533b67, 0xc50d2b50c59f22a7, 0xd3927d989bb11140,
	0x369095118d299a8e, 0x25a48eb36c063de4, 0x79de85ee92ff097f, 0x70c118c1f94dc352,
	0x78a384b157b4d9a2, 0x306f760c1229ffa7, 0x605aa111c0f95d34, 0xd320d86d2a519956,
	0xcc4fdd1a7d908b66, 0x9cf2689063dbd80c, 0x8ffc389cb473e63e, 0xf21f9de58d297d1c,
	0xc0dc2f46a6cce040, 0xb992abfe2b45f844, 0x7ffe7b9ba320872e, 0x525a0e7fdae6c123,
	0xf464aeb267349c8c, 0x45cd5928705b0979, 0x3a3e35e3ca9913a5, 0xa91dc74e4ade3b35,
	0xfb0bed02ef6cd00d, 0x88d93cb44ab1e1f4, 0x540f11d643c5e663, 0x2370dd1f8c21d1bc,
	0x81157b6c16a7b60d, 0x4d54b9e57a8ff9bf, 0x759f12781f2a753e, 0xcea1a3bebf186b91,
	0x2cf508d3ada26206, 0xb6101c2da3c33057, 0xb3f47496ae3a36a1, 0x626b57547b108392,
	0xc1d2363299e41531, 0x667cc1923f1ad944, 0x65704ffec8138825, 0x24f280d1c28949a6,
	0xc2ca1cedfaf8876b, 0xc2164bfc9f042196, 0xa16e9c9368b1d623, 0x49fb169c8b5114fd,
	0x9f3143f8df074c46, 0xc6fdaf2412cc86b3, 0x7eaf49d10a52098f, 0x1cf313559d292f9a,
	0xc44a30dda2f41f12, 0x36fae98943a71ed0, 0x318fb34c73f0bce6, 0xa27abf3670a7e980,
	0xb4bcc0db243c6d75, 0x23f8d852fdb71513, 0x8f035f4da67d8a08, 0xd89cd0e5b7e8f148,
	0xf6f4e6bcf7a644ee, 0xaec59ad80f1837f2, 0xc3b2f6154b6694e0, 0x9d199062b7bbb3a8};

TEST(vectors)
{
	uint8_t key[16], message[64];
	for (uint8_t i = 0; i < sizeof(key); i++)
		key[i] = i;
	for (uint8_t i = 0; i < sizeof(message); i++)
		message[i] = i;
	for (size_t len = 0; len < 64; len++)
		CHECK_U64(tg_siphash13(key, message, len), vectors[len]);
}

/* Only the low byte of the length is hashed, so that 255, 256 and 300 are worth a look. */
TEST(long_messages)
{
	uint8_t key[16], message[300];
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(255 - i * 13);
	for (unsigned i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t)(i * 7 + 3);
	CHECK_U64(tg_siphash13(key, message, 300), 0xa065ce248a03cfbd);
	CHECK_U64(tg_siphash13(key, message, 256), 0xf9f3c85e3cbc8fc3);
	CHECK_U64(tg_siphash13(key, message, 255), 0x75b6563045ca73dd);
}

TEST(zero_key)
{
	const uint8_t key[16] = {0};
	CHECK_U64(tg_siphash13(key, "", 0), 0xd1fba762150c532c);
}

/* Where the message stands in memory does not matter, nor what is behind it. */
TEST(unaligned)
{
	uint8_t key[17], bytes[80];
	for (size_t shift = 0; shift < 9; shift++) {
		memset(bytes, 0xaa, sizeof(bytes));
		for (uint8_t i = 0; i < 63; i++)
			bytes[shift + i] = i;
		for (uint8_t i = 0; i < 16; i++)
			key[shift % 2 + i] = i;
		CHECK_U64(tg_siphash13(key + shift % 2, bytes + shift, 63), vectors[63]);
		CHECK_U64(tg_siphash13(key + shift % 2, bytes + shift, 13), vectors[13]);
	}
}

TEST(every_bit_counts)
{
	uint8_t key[16] = {1}, message[40] = {2};
	const uint64_t hash = tg_siphash13(key, message, sizeof(message));
	for (unsigned bit = 0; bit < 8 * sizeof(message); bit++) {
		message[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK(tg_siphash13(key, message, sizeof(message)) != hash);
		message[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (unsigned bit = 0; bit < 8 * sizeof(key); bit++) {
		key[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK(tg_siphash13(key, message, sizeof(message)) != hash);
		key[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

int main(void)
{
	RUN(vectors);
	RUN(long_messages);
	RUN(zero_key);
	RUN(unaligned);
	RUN(every_bit_counts);
	return DONE();
}
