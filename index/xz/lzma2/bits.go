// SPDX-License-Identifier: Apache-2.0

package lzma2

// The range coder: code lies in [0, rng), and rng is divided in proportion
// to the probability of a 0. Both are 32-bit numbers; they are kept in uint64
// only because that makes the shortest machine code.
//
// rng, code and at (of the next byte of in) are passed by value everywhere, to live
// in registers.
const (
	minRange = 1 << 24
	probBits = 11                // of a probability
	half     = 1 << probBits / 2 // where each of them begins
	rate     = 5                 // how fast they adapt: by 1/32 of what they are off
)

// startRange reads the first bytes of an LZMA chunk.
func (d *Decoder) startRange() error {
	if len(d.in) < 5 && len(d.in) < d.size {
		return d.cutShort()
	}
	if len(d.in) < 5 {
		return d.errorf(d.start, "an LZMA chunk of %d bytes", d.size)
	}
	b := d.in[:5]
	d.rng = 1<<32 - 1
	d.code = uint64(b[1])<<24 | uint64(b[2])<<16 | uint64(b[3])<<8 | uint64(b[4])
	d.inAt = 5
	if b[0] != 0 || d.code == d.rng {
		return d.errorf(d.start, "the range coder can't begin with % x", b)
	}
	return nil
}

// shift takes in another byte if one is due. Behind the end of in come zeros;
// symbols checks at.
func shift(in []byte, rng, code uint64, at int) (uint64, uint64, int) {
	if rng < minRange {
		rng <<= 8
		code <<= 8
		if uint(at) < uint(len(in)) {
			code |= uint64(in[at])
		}
		at++
	}
	return rng, code, at
}

// more0 and more1 are what a probability becomes after a bit.
func more0(p uint32) uint32 { return p + (1<<probBits-p)>>rate }
func more1(p uint32) uint32 { return p - p>>rate }

// decide decodes a bit whose probability is p without a jump that depends on
// it: the processor would guess it wrong often, and start over each time.
// next is that one of next0 and next1 which goes with the bit: the caller
// has loaded both ahead, so that the next multiplication need not wait for
// memory. q is p adapted.
//
// The compiler makes conditional moves of ifs that look like these. It wouldn't if
// an address were computed from their results, which is why bit is
// set by itself. BenchmarkDecode shows the price of a change here; the
// inliner's budget is nearly used up.
func decide(p, next0, next1, rng, code uint64) (bit uint64, q uint32, next, r, c uint64) {
	bound := (rng >> probBits) * p
	if code >= bound {
		bit = 1
	}
	// For a 0, p + (2048-p)>>5 is p - (p-2017)>>5 with an arithmetic shift.
	step := p - (1<<probBits - 1<<rate + 1)
	if code >= bound {
		step = p
	}
	next = next1
	if code < bound {
		next = next0
	}
	r = rng - bound
	if code < bound {
		r = bound
	}
	c = code - bound
	if code < bound {
		c = code
	}
	return bit, uint32(p - uint64(int64(step)>>rate)), next, r, c
}

// A tree holds the probabilities of the nodes of a binary tree: the root at 1,
// the children of m at 2m and 2m+1. Its leaves, which have none, are the values.
// Trees have fewer nodes than this; the size spares checks of bounds.
//
// A probability would fit in 16 bits, but an array of 32-bit ones is addressed
// in one instruction less.
type tree [0x300]uint32

// The functions below decode one bit after another from the root on. As loops
// they would be slower: the processor would have to guess where they end, and the
// compiler would not see how large m can be.

func (t *tree) decode3(in []byte, rng, code uint64, at int) (uint, uint64, uint64, int) {
	m, p, bit := uint64(1), uint64(t[1]), uint64(0)

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + bit

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + bit

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], _, rng, code = decide(p, 0, 0, rng, code)
	m = 2*m + bit

	return uint(m) - 1<<3, rng, code, at
}

func (t *tree) decode6(in []byte, rng, code uint64, at int) (uint, uint64, uint64, int) {
	m, p, bit := uint64(1), uint64(t[1]), uint64(0)

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + bit

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + bit

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + bit

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + bit

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + bit

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], _, rng, code = decide(p, 0, 0, rng, code)
	m = 2*m + bit

	return uint(m) - 1<<6, rng, code, at
}

func (t *tree) decode8(in []byte, rng, code uint64, at int) (uint, uint64, uint64, int) {
	m, p, bit := uint64(1), uint64(t[1]), uint64(0)

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + bit

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + bit

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + bit

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + bit

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + bit

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + bit

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + bit

	rng, code, at = shift(in, rng, code, at)
	bit, t[m], _, rng, code = decide(p, 0, 0, rng, code)
	m = 2*m + bit

	return uint(m) - 1<<8, rng, code, at
}

// reverse4 decodes four bits, the lowest one first.
func (t *tree) reverse4(in []byte, rng, code uint64, at int) (uint, uint64, uint64, int) {
	m, p := uint64(1), uint64(t[1])
	var b0, b1, b2, b3 uint64

	rng, code, at = shift(in, rng, code, at)
	b0, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + b0

	rng, code, at = shift(in, rng, code, at)
	b1, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + b1

	rng, code, at = shift(in, rng, code, at)
	b2, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
	m = 2*m + b2

	rng, code, at = shift(in, rng, code, at)
	b3, t[m], _, rng, code = decide(p, 0, 0, rng, code)

	return uint(b0 | b1<<1 | b2<<2 | b3<<3), rng, code, at
}

// reverse decodes n bits, at most five, the lowest one first.
func (t *tree) reverse(n uint, in []byte, rng, code uint64, at int) (uint, uint64, uint64, int) {
	m, p, bit, v := uint64(1), uint64(t[1]), uint64(0), uint64(0)
	for i := uint(0); i < n; i++ {
		m &= 0x1f
		rng, code, at = shift(in, rng, code, at)
		bit, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
		m = 2*m + bit
		v |= bit << (i & 7)
	}
	return uint(v), rng, code, at
}

// direct decodes n bits that are as often 0 as 1, the highest one first.
func direct(n uint, in []byte, rng, code uint64, at int) (uint, uint64, uint64, int) {
	v := uint64(0)
	for ; n > 0; n-- {
		rng, code, at = shift(in, rng, code, at)
		rng >>= 1
		v <<= 1
		if code >= rng {
			v |= 1
		}
		rest := code - rng
		if code >= rng {
			code = rest
		}
	}
	return uint(v), rng, code, at
}

// decodeMatched decodes a literal after a match, with the byte that would follow
// if the match went on. As long as the bits are that byte's, which is worth
// guessing, other probabilities hold: those from 0x100 on where its next bit is 0,
// from 0x200 on where it is 1.
func (t *tree) decodeMatched(match byte, in []byte, rng, code uint64, at int) (uint, uint64, uint64, int) {
	m, bit := uint64(1), uint64(0)
	for path := uint64(match) << 1; m < 0x100; path <<= 1 {
		want := path >> 8 & 1
		node := &t[0x100+path&0x100+m&0xff]
		rng, code, at = shift(in, rng, code, at)
		bit, *node, _, rng, code = decide(uint64(*node), 0, 0, rng, code)
		m = 2*m + want // which is there sooner than bit
		if bit != want {
			m ^= 1
			break
		}
	}
	for p := uint64(t[m&0xff]); m < 0x100; {
		rng, code, at = shift(in, rng, code, at)
		bit, t[m], p, rng, code = decide(p, uint64(t[2*m]), uint64(t[2*m+1]), rng, code)
		m = 2*m + bit
	}
	return uint(m) - 1<<8, rng, code, at
}
