// SPDX-License-Identifier: Apache-2.0

package pack

import "bytes"

// stripComments removes the comments between /* and */ from a header, but for
// those with an SPDX line, as the kernel's build does before it packs headers
// (kernel/gen_kheaders.sh). It knows no strings and no // comments, as the
// kernel's build doesn't: the bytes must be the same.
func stripComments(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for at := 0; ; {
		start := bytes.Index(b[at:], []byte("/*"))
		if start < 0 {
			return append(out, b[at:]...)
		}
		start += at
		end := bytes.Index(b[start+2:], []byte("*/"))
		if end < 0 {
			return append(out, b[at:]...)
		}
		end += start + 2
		if n := bytes.LastIndex(b[start+2:end], []byte("SPDX")); n >= 0 {
			// Neither this comment nor one that begins in front of the SPDX is removed.
			// Another one may begin behind it.
			out = append(out, b[at:start+2+n]...)
			at = start + 2 + n
			continue
		}
		out = append(out, b[at:start]...)
		at = end + 2
	}
}
