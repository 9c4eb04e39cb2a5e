// SPDX-License-Identifier: Apache-2.0

package lzma2

import "encoding/binary"

// Where the probabilities of each kind are in Decoder.probs. Literals come last, so that
// every tree has the size of a tree.
const (
	numStates    = 12
	numPosStates = 1 << 4

	isMatch    = 0
	isRep0Long = isMatch + numStates*numPosStates
	isRep      = isRep0Long + numStates*numPosStates
	isRepNot0  = isRep + numStates
	isRepNot1  = isRepNot0 + numStates
	isRepNot2  = isRepNot1 + numStates
	lengths    = isRepNot2 + numStates  // of matches, then of repeated ones
	slots      = lengths + 2*numLengths // four trees, by the length
	lowBits    = slots + 4*64           // a tree for each of the slots 4 to 13
	align      = lowBits + 10*32
	literals   = align + 16
	numProbs   = literals + 16*0x300

	// Of a length.
	lengthNotShort  = 0
	lengthNotMedium = 1
	lengthShort     = 2
	lengthMedium    = lengthShort + numPosStates*8
	lengthLong      = lengthMedium + numPosStates*8
	numLengths      = lengthLong + 256

	maxMatch = 273
)

// The state says what the last symbols were; below litStates the last one was a
// literal.
const litStates = 7

var (
	afterLiteral  = [16]uint8{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 5}
	afterMatch    = [16]uint8{7, 7, 7, 7, 7, 7, 7, 10, 10, 10, 10, 10}
	afterRep      = [16]uint8{8, 8, 8, 8, 8, 8, 8, 11, 11, 11, 11, 11}
	afterShortRep = [16]uint8{9, 9, 9, 9, 9, 9, 9, 11, 11, 11, 11, 11}
)

// symbols decodes symbols of the chunk at hand to out[pos:], until limit is reached or
// the chunk ends, and returns where it got to.
//
// The bits that say what kind of symbol comes can be guessed well enough, and
// what follows differs so much that they are ifs. Each of them is the same few
// lines with an else of its own: a function could return the bit, but then
// the processor would have to guess a second time.
func (d *Decoder) symbols(out []byte, pos, limit int) (int, error) {
	end := pos + d.left
	limit = min(limit, end)
	in, rng, code, at := d.in, d.rng, d.code, d.inAt
	state, rep0, prev := d.state, d.reps[0], uint(d.prev)
	probs := &d.probs

	for pos < limit {
		start := pos
		position := uint(pos + d.bias) // bytes in the dictionary
		posState := position & d.pbMask

		rng, code, at = shift(in, rng, code, at)
		p := &probs[isMatch+state*numPosStates+posState]
		if bound := (rng >> probBits) * uint64(*p); code < bound {
			rng, *p = bound, more0(*p)
			coder := (position&d.lpMask)<<(d.lc&7) + prev>>((8-d.lc)&15)
			t := (*tree)(probs[literals+coder*0x300:])
			if state < litStates {
				prev, rng, code, at = t.decode8(in, rng, code, at)
			} else {
				from := pos - int(rep0) - 1
				if from < 0 {
					from += d.wrap
				}
				prev, rng, code, at = t.decodeMatched(out[from], in, rng, code, at)
			}
			if at > len(in) {
				return start, d.overrun()
			}
			out[pos] = byte(prev)
			pos++
			state = uint(afterLiteral[state&15])
			continue
		} else {
			rng, code, *p = rng-bound, code-bound, more1(*p)
		}

		lengthAt := uint(lengths)
		rng, code, at = shift(in, rng, code, at)
		p = &probs[isRep+state]
		if bound := (rng >> probBits) * uint64(*p); code < bound {
			rng, *p = bound, more0(*p)
		} else {
			rng, code, *p = rng-bound, code-bound, more1(*p)
			lengthAt += numLengths

			rng, code, at = shift(in, rng, code, at)
			p = &probs[isRepNot0+state]
			if bound := (rng >> probBits) * uint64(*p); code < bound {
				rng, *p = bound, more0(*p)

				rng, code, at = shift(in, rng, code, at)
				p = &probs[isRep0Long+state*numPosStates+posState]
				if bound := (rng >> probBits) * uint64(*p); code < bound {
					rng, *p = bound, more0(*p)
					// A match of one byte.
					if at > len(in) {
						return start, d.overrun()
					}
					if rep0 >= position {
						return start, d.tooFar(at, rep0, position)
					}
					from := pos - int(rep0) - 1
					if from < 0 {
						from += d.wrap
					}
					prev = uint(out[from])
					out[pos] = byte(prev)
					pos++
					state = uint(afterShortRep[state&15])
					continue
				} else {
					rng, code, *p = rng-bound, code-bound, more1(*p)
				}
			} else {
				rng, code, *p = rng-bound, code-bound, more1(*p)

				rng, code, at = shift(in, rng, code, at)
				p = &probs[isRepNot1+state]
				if bound := (rng >> probBits) * uint64(*p); code < bound {
					rng, *p = bound, more0(*p)
					rep0, d.reps[1] = d.reps[1], rep0
				} else {
					rng, code, *p = rng-bound, code-bound, more1(*p)

					rng, code, at = shift(in, rng, code, at)
					p = &probs[isRepNot2+state]
					if bound := (rng >> probBits) * uint64(*p); code < bound {
						rng, *p = bound, more0(*p)
						rep0, d.reps[1], d.reps[2] = d.reps[2], rep0, d.reps[1]
					} else {
						rng, code, *p = rng-bound, code-bound, more1(*p)
						rep0, d.reps[1], d.reps[2], d.reps[3] = d.reps[3], rep0, d.reps[1], d.reps[2]
					}
				}
			}
		}

		var length uint
		rng, code, at = shift(in, rng, code, at)
		p = &probs[lengthAt+lengthNotShort]
		if bound := (rng >> probBits) * uint64(*p); code < bound {
			rng, *p = bound, more0(*p)
			t := (*tree)(probs[lengthAt+lengthShort+posState*8:])
			length, rng, code, at = t.decode3(in, rng, code, at)
			length += 2
		} else {
			rng, code, *p = rng-bound, code-bound, more1(*p)

			rng, code, at = shift(in, rng, code, at)
			p = &probs[lengthAt+lengthNotMedium]
			if bound := (rng >> probBits) * uint64(*p); code < bound {
				rng, *p = bound, more0(*p)
				t := (*tree)(probs[lengthAt+lengthMedium+posState*8:])
				length, rng, code, at = t.decode3(in, rng, code, at)
				length += 2 + 8
			} else {
				rng, code, *p = rng-bound, code-bound, more1(*p)
				t := (*tree)(probs[lengthAt+lengthLong:])
				length, rng, code, at = t.decode8(in, rng, code, at)
				length += 2 + 8 + 8
			}
		}

		if lengthAt != lengths {
			state = uint(afterRep[state&15])
		} else {
			state = uint(afterMatch[state&15])
			d.reps[1], d.reps[2], d.reps[3] = rep0, d.reps[1], d.reps[2]
			// A slot is the distance's number of bits and the second one of them.
			var slot, low uint
			t := (*tree)(probs[slots+min(length-2, 3)*64:])
			slot, rng, code, at = t.decode6(in, rng, code, at)
			rep0 = slot
			if slot >= 4 {
				n := slot>>1 - 1
				rep0 = (2 | slot&1) << (n & 31)
				if slot < 14 {
					t := (*tree)(probs[lowBits+(slot-4)*32:])
					low, rng, code, at = t.reverse(n, in, rng, code, at)
					rep0 += low
				} else {
					low, rng, code, at = direct(n-4, in, rng, code, at)
					rep0 += low << 4
					low, rng, code, at = (*tree)(probs[align:]).reverse4(in, rng, code, at)
					rep0 += low
				}
			}
		}

		switch {
		case at > len(in):
			return start, d.overrun()
		case rep0 >= position || rep0 >= uint(d.dict):
			return start, d.tooFar(at, rep0, position)
		case int(length) > end-pos:
			return start, d.errorf(d.start+at, "a match goes on behind the end of its chunk")
		}
		from := pos - int(rep0) - 1
		if length <= 32 && rep0 >= 15 && from >= 0 && pos <= len(out)-32 {
			// The most common case, without a loop. What is copied too
			// much will be overwritten.
			src, dst := (*[32]byte)(out[from:]), (*[32]byte)(out[pos:])
			a, b := binary.LittleEndian.Uint64(src[0:]), binary.LittleEndian.Uint64(src[8:])
			binary.LittleEndian.PutUint64(dst[0:], a)
			binary.LittleEndian.PutUint64(dst[8:], b)
			a, b = binary.LittleEndian.Uint64(src[16:]), binary.LittleEndian.Uint64(src[24:])
			binary.LittleEndian.PutUint64(dst[16:], a)
			binary.LittleEndian.PutUint64(dst[24:], b)
		} else {
			copyMatch(out, pos, from, int(length), d.wrap)
		}
		pos += int(length)
		prev = uint(out[pos-1])
	}

	if pos == end {
		// The encoder's last bytes bring code to 0.
		rng, code, at = shift(in, rng, code, at)
		switch {
		case at > len(in):
			return pos, d.overrun()
		case at < d.size && len(in) == d.size:
			return pos, d.errorf(d.start+at, chunkSize)
		case at < d.size:
			return pos, d.cutShort()
		case code != 0:
			return pos, d.errorf(d.start+at, "the range coder ends with %#x", code)
		}
	}
	d.rng, d.code, d.inAt = rng, code, at
	d.state, d.reps[0], d.prev = state, rep0, byte(prev)
	return pos, nil
}

// copyMatch copies n bytes within out from from to pos. If from is
// negative, they begin that far before wrap.
func copyMatch(out []byte, pos, from, n, wrap int) {
	if from < 0 {
		k := copy(out[pos:pos+n], out[from+wrap:wrap])
		pos += k
		from += k
		n -= k
	}
	// What has been copied is copied again if it overlaps.
	for n > 0 {
		k := copy(out[pos:pos+n], out[from:pos])
		pos += k
		n -= k
	}
}

const chunkSize = "chunk takes another number of bytes than it says"

// overrun is the error of a symbol that goes on after the end of in.
func (d *Decoder) overrun() error {
	if len(d.in) < d.size {
		return d.cutShort()
	}
	return d.errorf(d.start+d.size, chunkSize)
}

func (d *Decoder) tooFar(at int, rep0, position uint) error {
	return d.errorf(d.start+at, "a match reaches back %d bytes, of %d", uint64(rep0)+1, min(position, uint(d.dict)))
}
