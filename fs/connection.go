// SPDX-License-Identifier: Apache-2.0

package fs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/index"
)

// Sizes of the headers in front of a request and of a reply, in bytes: struct
// fuse_in_header and fuse_out_header of linux/fuse.h. Both hold the length in four bytes;
// then come the opcode or the error in four, and the number of the request in eight.
const (
	inHeader  = 40
	outHeader = 16
)

// MinInit is the least size of an INIT request, in bytes (struct fuse_init_in of Linux 2.6).
const MinInit = inHeader + 16

// A Connection is what a process needs to go on serving a mount that another process
// has made. The mount lives as long as anybody has its device open: while nobody reads
// from it, those who read below the mount point wait.
type Connection struct {
	Device *os.File `json:"-"` // /dev/fuse
	Dev    uint64   // of the mount, as in stat(2)
	Init   []byte   // the kernel's INIT request, and
	Reply  []byte   // the reply to it: what was agreed on for as long as the mount lives
	Tree   []byte   // a hash of what the kernel may have kept of the tree

	// Answered means that the last server has answered each request that it has read. It
	// holds until the next one serves.
	Answered bool
}

// ErrOtherTree means that a mount can't be served on: what the kernel has kept of the
// tree, or has agreed on, doesn't hold for the tree or the program that is to take its
// place.
var ErrOtherTree = errors.New("the tree is another one, or the kernel and this program would agree on something else")

// hashTree returns a hash of what the kernel may have kept of a tree: node ids, with names,
// attributes, and what is in the files.
func hashTree(t *index.Tree) []byte {
	h := sha256.New()
	h.Write(t.Hash[:])
	var b []byte
	for id := index.ID(0); int(id) < t.Len(); id++ {
		e := t.Entry(id)
		b = append(append(b[:0], e.Name...), 0)
		b = append(append(b, t.Target(id)...), 0)
		for _, n := range []uint64{nodeID(id), nodeID(e.Parent), inode(&e), uint64(e.Mode), uint64(e.Nlink), uint64(e.Sec), uint64(e.Nsec), uint64(e.Size)} {
			b = binary.LittleEndian.AppendUint64(b, n)
		}
		h.Write(b)
	}
	return h.Sum(nil)
}

// newFUSE returns go-fuse's server of a connection. It insists on an INIT request, so it
// is given one, through a pair of sockets. On a new connection it is the kernel's, and its
// reply goes to the kernel; else the reply must be the one that the kernel has. Then the
// device is to be put in the place of fd.
func (c *Connection) newFUSE(s *server, o *fuse.MountOptions) (f *fuse.Server, fd int, err error) {
	ours, fd, err := socketPair()
	if err != nil {
		return nil, -1, err
	}
	defer unix.Close(ours)
	buf := make([]byte, 8<<10) // the least that the kernel accepts
	isNew := c.Init == nil
	if isNew {
		n, err := retry(func() (int, error) { return unix.Read(int(c.Device.Fd()), buf) })
		if err != nil {
			unix.Close(fd)
			return nil, -1, fmt.Errorf("reading from /dev/fuse: %w", err)
		}
		c.Init = bytes.Clone(buf[:n])
	}
	if _, err := unix.Write(ours, c.Init); err != nil {
		unix.Close(fd)
		return nil, -1, err
	}
	f, err = fuse.NewServer(s, fmt.Sprintf("/dev/fd/%d", fd), o)
	if err != nil {
		return nil, -1, err
	}
	n, err := unix.Read(ours, buf)
	switch {
	case err != nil:
	case !isNew && !bytes.Equal(c.Reply, buf[:n]):
		err = ErrOtherTree
	case isNew:
		c.Reply = bytes.Clone(buf[:n])
		_, err = c.Device.Write(c.Reply)
	}
	if err != nil {
		return nil, -1, err // the garbage collector closes fd
	}
	return f, fd, nil
}

// socketPair returns two descriptors, each of which reads what is written to the other,
// a request or a reply at a time.
func socketPair() (a, b int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, fmt.Errorf("socketpair: %w", err)
	}
	return pair[0], pair[1], nil
}

// retry repeats a system call that a signal has interrupted.
func retry(call func() (int, error)) (n int, err error) {
	for {
		if n, err = call(); err != unix.EINTR {
			return n, err
		}
	}
}

// A Successor is ready to serve a mount that another process serves, or has served.
type Successor struct {
	mounted *Mounted
}

// Prepare does everything for serving a mount on but reading from its device: all that is
// in c was returned by Mounted.Connection. The error is ErrOtherTree if the tree isn't the
// one that was mounted.
func Prepare(t *index.Tree, dir string, c *Connection, o Options) (*Successor, error) {
	if !bytes.Equal(hashTree(t), c.Tree) {
		return nil, ErrOtherTree
	}
	s := newServer(t, o.Log)
	f, fd, err := c.newFUSE(s, mountOptions(o))
	if err != nil {
		return nil, err
	}
	s.push.assume()
	return &Successor{&Mounted{server: f, push: s.push, tree: t, dir: dir, dev: c.Dev, log: o.Log, conn: c, fd: fd}}, nil
}

// Serve begins to serve. Nobody else may read from the device any more. If not each request
// that was read has been answered, the kernel is asked for the others again.
func (n *Successor) Serve(answered bool) (*Mounted, error) {
	m := n.mounted
	if !answered {
		if err := m.conn.askAgain(m.dir); err != nil {
			return nil, err
		}
	}
	if err := m.attach(); err != nil {
		return nil, err
	}
	go m.server.Serve()
	return m, nil
}

// attach puts the device where go-fuse reads from.
func (m *Mounted) attach() error {
	return unix.Dup3(int(m.conn.Device.Fd()), m.fd, unix.O_CLOEXEC)
}

// askAgain has the kernel send again the requests that the last server has read and not
// answered (FUSE_NOTIFY_RESEND of linux/fuse.h, Linux 6.9). On an older kernel they fail.
func (c *Connection) askAgain(dir string) error {
	const notifyResend = 7
	err := c.write(notifyResend, 0)
	if err == unix.EINVAL {
		err = c.failLost(dir)
	}
	if err != nil {
		return fmt.Errorf("asking again for lost requests: %w", err)
	}
	return nil
}

// write sends a header without anything behind it: an error for the request of a number,
// or with none a notification.
func (c *Connection) write(code int32, unique uint64) error {
	b := make([]byte, outHeader)
	binary.NativeEndian.PutUint32(b[0:], outHeader)
	binary.NativeEndian.PutUint32(b[4:], uint32(code))
	binary.NativeEndian.PutUint64(b[8:], unique)
	_, err := unix.Write(int(c.Device.Fd()), b)
	return err
}

// failLost answers each request that the last server has read and not answered with
// ESTALE: for that the kernel itself looks up a name or reads a page a second time, so
// that few programs see it. Nobody knows their numbers, but the kernel counts: all are below that
// of a request that waits to be read.
func (c *Connection) failLost(dir string) error {
	last, err := c.nextRequest(dir)
	if err != nil {
		return err
	}
	step := uint64(2) // FUSE_REQ_ID_STEP, since Linux 4.20
	if minor := binary.NativeEndian.Uint32(c.Init[inHeader+4:]); minor < 28 {
		step = 1
	}
	for n := step; n <= last; n += step {
		c.write(-int32(unix.ESTALE), n) // ENOENT: it was answered long ago
	}
	return nil
}

// nextRequest reads a request that needs a reply, and returns its number. If there is
// none it makes one.
func (c *Connection) nextRequest(dir string) (uint64, error) {
	poll := []unix.PollFd{{Fd: int32(c.Device.Fd()), Events: unix.POLLIN}}
	if n, err := retry(func() (int, error) { return unix.Poll(poll, 0) }); n == 0 && err == nil {
		onOwnThread(func() { // statfs(2) is never answered from a cache
			var st unix.Statfs_t
			unix.Statfs(dir, &st)
		})
	}
	buf := make([]byte, maxRead+4096)
	for {
		n, err := retry(func() (int, error) { return unix.Read(int(c.Device.Fd()), buf) })
		if err != nil {
			return 0, err
		}
		if n < inHeader {
			return 0, io.ErrUnexpectedEOF
		}
		switch binary.NativeEndian.Uint32(buf[4:]) {
		case 2, 36, 42: // FORGET, INTERRUPT and BATCH_FORGET need none
		default:
			return binary.NativeEndian.Uint64(buf[8:]), nil
		}
	}
}

// Connection returns what another process needs to serve the mount on, and nil if only
// this one can. Its device is this process's.
func (m *Mounted) Connection() *Connection {
	if m.conn != nil && m.conn.Tree == nil {
		m.conn.Tree = hashTree(m.tree)
	}
	return m.conn
}

// Retire ends the serving of a mount that another process goes on with. Each request that
// was read is answered; none is lost.
//
// go-fuse reads from the device in several threads, and can't be told to stop. So a
// socket takes the device's place: reading from it fails after a moment, and what is
// written to it goes to the device. A signal brings those who wait for a request over to
// it.
func (m *Mounted) Retire() error {
	replies, fd, err := socketPair()
	if err != nil {
		return err
	}
	moment := unix.NsecToTimeval(int64(time.Millisecond))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &moment); err != nil {
		return err
	}
	// The thread that pushes has descriptors of its own: it would go on to push to the device,
	// and what go-fuse closes meanwhile may be closed there only.
	m.push.stop()
	m.log.SetOutput(io.Discard) // go-fuse logs each thread's end
	if err := unix.Dup3(fd, m.fd, unix.O_CLOEXEC); err != nil {
		return err
	}
	unix.Close(fd)
	if err := interruptThreads(); err != nil {
		return err
	}
	buf := make([]byte, maxRead+4096)
	for { // until go-fuse has closed its end
		n, err := retry(func() (int, error) { return unix.Read(replies, buf) })
		if n == 0 || err != nil {
			m.conn.Answered = n == 0
			return err
		}
		unix.Write(int(m.conn.Device.Fd()), buf[:n])
	}
}

// interruptThreads interrupts the system calls of all threads, by the signal with which
// the Go runtime does so too.
func interruptThreads() error {
	tasks, err := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		if tid, err := strconv.Atoi(task.Name()); err == nil {
			unix.Tgkill(unix.Getpid(), tid, unix.SIGURG)
		}
	}
	return err
}
