package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/backend/tap/taptest"
)

const hostAddress = "10.98.0.1"

// TestNetwork moves data over TCP, both ways, and over UDP, between a guest
// with two queues and the host's network stack, offloads and all. What arrives
// must be what was sent.
func TestNetwork(t *testing.T) { testNetwork(t, "mmio") }

// TestNetworkPCI does the same by PCI.
func TestNetworkPCI(t *testing.T) { testNetwork(t, "pci") }

func testNetwork(t *testing.T, transport string) {
	taptest.Namespace(t, taptest.Options{Address: hostAddress + "/24", MultiQueue: true})
	data := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(data)
	small := data[:20_000]
	sender, receiver, received := listen(t), listen(t), make(chan [sha256.Size]byte, 1)
	go serve(sender, func(c net.Conn) { c.Write(data) })
	go serve(receiver, func(c net.Conn) {
		h := sha256.New()
		io.Copy(h, c)
		received <- [sha256.Size]byte(h.Sum(nil))
	})
	go tftp(packets(t, 69), small)

	script := fmt.Sprintf(`
echo /sys/class/net/eth0/queues/*
ifconfig eth0 10.98.0.2 netmask 255.255.255.0 up
cat > /tmp/data
nc %[1]s %[2]d | sha256sum
nc %[1]s %[3]d < /tmp/data
tftp -g -r file -l /tmp/file %[1]s && sha256sum < /tmp/file
`, hostAddress, port(sender), port(receiver))
	cmd := bulkhead(t, "run", "-i", "--transport", transport, "--cpus", "2", "--net", "tap="+taptest.Name, "--rootfs", shellRoot(t), "--", "sh", "-c", script)
	cmd.Stdin = bytes.NewReader(data)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.Bytes())
	}
	if !strings.Contains(string(out), "rx-1") || !strings.Contains(string(out), "tx-1") {
		t.Errorf("the guest has not two queues: %s", out)
	}
	if want := fmt.Sprintf("%x  -\n%x  -\n", sha256.Sum256(data), sha256.Sum256(small)); !strings.HasSuffix(string(out), want) {
		t.Errorf("the guest received something else:\n%s\nwant:\n%s", out, want)
	}
	select {
	case got := <-received:
		if got != sha256.Sum256(data) {
			t.Error("the host received something else")
		}
	case <-time.After(10 * time.Second):
		t.Error("the host received nothing")
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", hostAddress+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// serve has each connection served, one after another, until l is closed.
func serve(l net.Listener, with func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		with(c)
		c.Close()
	}
}

func packets(t *testing.T, port int) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket("udp", fmt.Sprintf("%s:%d", hostAddress, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// tftp gives data to who asks for a file, in blocks of 512 bytes; RFC 1350.
func tftp(c net.PacketConn, data []byte) {
	const readRequest, dataBlock, ack, block = 1, 3, 4, 512
	request := make([]byte, 1024)
	for {
		n, peer, err := c.ReadFrom(request)
		if err != nil {
			return
		}
		number := 1 // after a request; after an ACK, the one that follows it
		switch {
		case n >= 4 && request[1] == ack:
			number = int(binary.BigEndian.Uint16(request[2:])) + 1
		case n < 4 || request[1] != readRequest:
			continue
		}
		if from := (number - 1) * block; from <= len(data) {
			reply := binary.BigEndian.AppendUint16([]byte{0, dataBlock}, uint16(number))
			c.WriteTo(append(reply, data[from:min(from+block, len(data))]...), peer)
		}
	}
}
