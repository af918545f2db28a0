package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"
)

// part is a member of an archive.
type part struct {
	header  tar.Header
	content []byte
}

// parts takes an archive apart. Holes are filled.
func parts(t testing.TB, b []byte) (all []part) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		h.PAXRecords, h.Format = nil, 0
		all = append(all, part{*h, content})
	}
}

// join makes an archive of them.
func join(t testing.TB, all []part) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, p := range all {
		p.header.Size = int64(len(p.content))
		if err := w.WriteHeader(&p.header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(p.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func at(all []part, name string) int {
	return slices.IndexFunc(all, func(p part) bool { return p.header.Name == name })
}

func regular(name string, content []byte) part {
	return part{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600}, content}
}

// image is an OCI archive whose parts can be changed.
type image struct {
	t        testing.TB
	index    ocispec.Index
	manifest ocispec.Manifest
	blobs    map[digest.Digest][]byte
	more     []part
}

func takeApart(t testing.TB, b []byte) *image {
	t.Helper()
	i := &image{t: t, blobs: map[digest.Digest][]byte{}}
	for _, p := range parts(t, b) {
		if id, ok := strings.CutPrefix(p.header.Name, blobDir); ok {
			i.blobs[digest.NewDigestFromEncoded(digest.SHA256, id)] = p.content
		}
		if p.header.Name == ocispec.ImageIndexFile {
			i.decode(p.content, &i.index)
		}
	}
	i.decode(i.blobs[i.index.Manifests[0].Digest], &i.manifest)
	delete(i.blobs, i.index.Manifests[0].Digest)
	return i
}

func (i *image) decode(b []byte, v any) {
	i.t.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		i.t.Fatal(err)
	}
}

func (i *image) encode(v any) []byte {
	i.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		i.t.Fatal(err)
	}
	return b
}

// layer returns the layer of a file.
func (i *image) layer(name string) *ocispec.Descriptor {
	i.t.Helper()
	for l := range i.manifest.Layers {
		if title := i.manifest.Layers[l].Annotations[ocispec.AnnotationTitle]; title == name+fileSuffix || title == name {
			return &i.manifest.Layers[l]
		}
	}
	i.t.Fatalf("no layer %s", name)
	return nil
}

// replace gives a descriptor another blob.
func (i *image) replace(d *ocispec.Descriptor, b []byte) {
	delete(i.blobs, d.Digest)
	d.Digest, d.Size = digest.FromBytes(b), int64(len(b))
	i.blobs[d.Digest] = b
}

// files replaces what is in a layer.
func (i *image) files(name string, all ...part) {
	i.t.Helper()
	i.replace(i.layer(name), pack(i.t, join(i.t, all)))
}

func pack(t testing.TB, b []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll(b, nil)
}

// join makes the archive, in the order that tools have which know nothing of ours.
func (i *image) join() []byte {
	m := i.encode(i.manifest)
	i.replace(&i.index.Manifests[0], m)
	var all []part
	for _, id := range slices.Sorted(maps.Keys(i.blobs)) {
		all = append(all, regular("./"+blobDir+id.Encoded(), i.blobs[id]))
	}
	dirs := []part{{header: tar.Header{Typeflag: tar.TypeDir, Name: "./"}}, {header: tar.Header{Typeflag: tar.TypeDir, Name: "./blobs/"}}, {header: tar.Header{Typeflag: tar.TypeDir, Name: "./blobs/sha256/"}}}
	all = append(dirs, all...)
	all = append(all, regular(ocispec.ImageIndexFile, i.encode(i.index)), regular(ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"1.0.0"}`)))
	return join(i.t, append(all, i.more...))
}

// TestOtherOrder: tools that have pulled an image write it in an order of their own.
func TestOtherOrder(t *testing.T) {
	dir := save(t)
	b := takeApart(t, export(t, dir, OCI)).join()
	path, _, err := Read(t.Context(), bytes.NewReader(b), Target{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	sameFiles(t, dir, path)
}

// refused fails the test unless an archive is, for a reason, and without anything
// beside the target.
func refused(t *testing.T, b []byte, why string) {
	t.Helper()
	target := filepath.Join(t.TempDir(), "target")
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	_, _, err := Read(t.Context(), bytes.NewReader(b), Target{Dir: target, Room: func(n int64) error { total += n; return nil }})
	var bad *Error
	var later *snapshot.VersionError
	if !errors.As(err, &bad) && !errors.As(err, &later) || !strings.Contains(err.Error(), why) {
		t.Errorf("it isn't said that %q, but %v", why, err)
	}
	if total > 16<<20 {
		t.Errorf("%d bytes were written", total)
	}
	if left, err := os.ReadDir(filepath.Dir(target)); err != nil || len(left) != 1 {
		t.Errorf("beside the target is %v, %v", left, err)
	}
}

func TestBadLayouts(t *testing.T) {
	good := export(t, save(t), OCI)
	sums := func(i *image) string {
		z, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		b, err := z.DecodeAll(i.blobs[i.layer("SHA256SUMS").Digest], nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(parts(t, b)[0].content)
	}
	for why, spoil := range map[string]func(*image){
		"has a blob that nothing refers to": func(i *image) { i.blobs[digest.FromString("x")] = []byte("x") },
		"is another one":                    func(i *image) { d := i.layer("state").Digest; i.blobs[d] = append([]byte{1}, i.blobs[d]...) },
		"it has no blob":                    func(i *image) { delete(i.blobs, i.layer("memory").Digest) },
		`it has no "memory"`:                func(i *image) { i.manifest.Layers = i.manifest.Layers[:len(i.manifest.Layers)-1] },
		`"etc/passwd", which no OCI image`:  func(i *image) { i.more = []part{regular("etc/passwd", nil)} },
		`"../../x", which no OCI image`:     func(i *image) { i.more = []part{regular("../../x", nil)} },
		`"blobs/sha256/../../x", which no`:  func(i *image) { i.more = []part{regular(blobDir+"../../x", nil)} },
		`"/etc/passwd", which no OCI image`: func(i *image) { i.more = []part{regular("/etc/passwd", nil)} },
		`"blobs/sha256/ABC", which no`:      func(i *image) { i.more = []part{regular(blobDir+"ABC", nil)} },
		`"blobs/sha256/link" is no regular`: func(i *image) {
			i.more = []part{{tar.Header{Typeflag: tar.TypeSymlink, Name: blobDir + "link", Linkname: "/etc"}, nil}}
		},
		`"dir/" is no regular file`: func(i *image) { i.more = []part{{tar.Header{Typeflag: tar.TypeDir, Name: "dir/"}, nil}} },
		"it has index.json twice":   func(i *image) { i.more = []part{regular("index.json", nil)} },
		"it has 2 images":           func(i *image) { i.index.Manifests = append(i.index.Manifests, i.index.Manifests[0]) },
		"and no snapshot":           func(i *image) { i.manifest.Config.MediaType = ocispec.MediaTypeImageConfig },
		`"x" of "text/plain"`: func(i *image) {
			i.manifest.Layers = append(i.manifest.Layers, ocispec.Descriptor{MediaType: "text/plain", Annotations: map[string]string{ocispec.AnnotationTitle: "x"}})
		},
		`it has "state" twice`: func(i *image) { i.manifest.Layers = append(i.manifest.Layers, *i.layer("state")) },
		"or refers to it twice": func(i *image) {
			state := *i.layer("state")
			i.layer("memory").Digest, i.layer("memory").Size = state.Digest, state.Size
		},
		"bytes, not 5":                      func(i *image) { i.layer("memory").Size = 5 },
		"is of version 9":                   func(i *image) { i.replace(i.layer(infoName), []byte(`{"version":9}`)) },
		"info.json isn't what it should be": func(i *image) { i.replace(i.layer(infoName), []byte(`[`)) },
		"it can have 262144":                func(i *image) { i.replace(i.layer(infoName), make([]byte, maxInfo+1)) },
		"a layer can't be unpacked":         func(i *image) { i.replace(i.layer("memory"), []byte("not zstd")) },
		"it ends too early":                 func(i *image) { d := i.layer("memory"); b := i.blobs[d.Digest]; i.replace(d, b[:len(b)/2]) },
		`"state" doesn't have it`:           func(i *image) { i.files("state", regular("../state", nil)) },
		"the layer of \"state\" doesn't have": func(i *image) {
			i.files("state", part{tar.Header{Typeflag: tar.TypeSymlink, Name: "state", Linkname: "/etc/passwd"}, nil})
		},
		`the SHA-256 of "state" is`:         func(i *image) { i.files("state", regular("state", []byte("other"))) },
		`the SHA-256 of "manifest.json" is`: func(i *image) { i.replace(&i.manifest.Config, []byte("{}")) },
		`of "memory" has "more", too`:       func(i *image) { i.files("memory", regular("memory", make([]byte, testSize)), regular("more", nil)) },
		"aren't what was written":           func(i *image) { i.files("memory", regular("memory", make([]byte, testSize))) },
		"not 50343936":                      func(i *image) { i.files("memory", regular("memory", make([]byte, testSize-1))) },
		// A bomb: 8 GiB of zeroes in few bytes, and more than there are sums of.
		`"memory" has 8589934592 bytes, it can have 51380224`: func(i *image) { i.replace(i.layer("memory"), bomb(t, "memory", 8<<30)) },
		`"state" has 8589934592 bytes, it can have 67108864`:  func(i *image) { i.replace(i.layer("state"), bomb(t, "state", 8<<30)) },
		`"small-1" has 67108864 bytes, it can have`: func(i *image) {
			text, content := sums(i), make([]byte, 64<<20)
			for n := range 2 { // each may be so large, and not all of them
				name := fmt.Sprintf("small-%d", n)
				text += fmt.Sprintf("%x  %s\n", sha256.Sum256(content), name)
				i.extraLayer(name)
				i.files(name, regular(name, content))
			}
			i.files("SHA256SUMS", regular("SHA256SUMS", []byte(text)))
		},
		"SHA256SUMS has 8589934592 bytes": func(i *image) { i.replace(i.layer("SHA256SUMS"), bomb(t, "SHA256SUMS", 8<<30)) },
		"the line": func(i *image) {
			i.files("SHA256SUMS", regular("SHA256SUMS", []byte(sums(i)+strings.Repeat("0", 64)+"  ../x\n")))
		},
		"the line \"" + strings.Repeat("0", 64) + "  verified": func(i *image) {
			i.files("SHA256SUMS", regular("SHA256SUMS", []byte(sums(i)+strings.Repeat("0", 64)+"  verified\n")))
		},
		`it has no "x"`: func(i *image) {
			i.files("SHA256SUMS", regular("SHA256SUMS", []byte(sums(i)+strings.Repeat("0", 64)+"  x\n")))
		},
		"it doesn't have manifest.json":    func(i *image) { i.files("SHA256SUMS", regular("SHA256SUMS", nil)) },
		`"extra", which the snapshot's`:    func(i *image) { i.extraLayer("extra") },
		`"verified", which the snapshot's`: func(i *image) { i.extraLayer("verified") },
		`".imported", which the`:           func(i *image) { i.extraLayer(".imported") },
		"the snapshot's format is of version": func(i *image) {
			later := bytes.Replace(i.blobs[i.manifest.Config.Digest], []byte(`"version": 1`), []byte(`"version": 99`), 1)
			i.replace(&i.manifest.Config, later)
			var lines []string
			for _, line := range strings.SplitAfter(sums(i), "\n") {
				if strings.HasSuffix(line, "manifest.json\n") {
					sum := sha256.Sum256(later)
					line = hex.EncodeToString(sum[:]) + "  manifest.json\n"
				}
				lines = append(lines, line)
			}
			i.files("SHA256SUMS", regular("SHA256SUMS", []byte(strings.Join(lines, ""))))
		},
	} {
		t.Run(why, func(t *testing.T) {
			i := takeApart(t, good)
			spoil(i)
			refused(t, i.join(), why)
		})
	}
}

// extraLayer adds one.
func (i *image) extraLayer(name string) {
	i.manifest.Layers = append(i.manifest.Layers, ocispec.Descriptor{MediaType: fileType, Annotations: map[string]string{ocispec.AnnotationTitle: name + fileSuffix}})
	i.replace(&i.manifest.Layers[len(i.manifest.Layers)-1], pack(i.t, join(i.t, []part{regular(name, nil)})))
}

// bomb is a file of zeroes, packed.
func bomb(t testing.TB, name string, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, endless{}, 32<<20); err != nil { // the rest is nobody's to see
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestBadPlain(t *testing.T) {
	good := parts(t, export(t, save(t), Plain))
	for why, spoil := range map[string]func([]part) []part{
		"it begins with \"SHA256SUMS\"":             func(all []part) []part { return all[1:] },
		"\"manifest.json\" comes before SHA256SUMS": func(all []part) []part { return slices.Delete(all, 1, 2) },
		"\"memory\" comes before its sums": func(all []part) []part {
			m := at(all, "memory")
			return slices.Insert(all, 2, all[m])
		},
		`it has no "memory"`:                              func(all []part) []part { m := at(all, "memory"); return slices.Delete(all, m, m+1) },
		`it has "state" twice`:                            func(all []part) []part { return append(all, all[at(all, "state")]) },
		`it has "SHA256SUMS" twice`:                       func(all []part) []part { return append(all, all[1]) },
		`"../x", which the snapshot's SHA256SUMS doesn't`: func(all []part) []part { return append(all, regular("../x", nil)) },
		`"/etc/x", which the snapshot's`:                  func(all []part) []part { return append(all, regular("/etc/x", nil)) },
		`"verified", which the snapshot's`:                func(all []part) []part { return append(all, regular("verified", nil)) },
		`"state" is no regular file`: func(all []part) []part {
			return slices.Insert(all, 2, part{tar.Header{Typeflag: tar.TypeLink, Name: "state", Linkname: "/etc/passwd"}, nil})
		},
		`"fifo" is no regular file`: func(all []part) []part {
			return append(all, part{tar.Header{Typeflag: tar.TypeFifo, Name: "fifo"}, nil})
		},
		`the SHA-256 of "state"`:  func(all []part) []part { all[at(all, "state")].content = []byte("x"); return all },
		"aren't what was written": func(all []part) []part { all[at(all, "blk0")].content[0] = 1; return all },
		"it is empty":             func([]part) []part { return nil },
	} {
		t.Run(why, func(t *testing.T) {
			all := slices.Clone(good)
			for i := range all {
				all[i].content = bytes.Clone(all[i].content)
			}
			refused(t, join(t, spoil(all)), why)
		})
	}
}

// TestCut has archives end anywhere, and have anything in them be another byte.
func TestCut(t *testing.T) {
	dir := save(t)
	for name, format := range formats {
		b := export(t, dir, format)
		for _, size := range []int{1, 511, 512, 513, 4096, len(b) / 3, len(b) / 2, len(b) - 4096} {
			if _, _, err := Read(t.Context(), bytes.NewReader(b[:size]), Target{Dir: t.TempDir()}); err == nil {
				t.Errorf("%s: %d of %d bytes are enough", name, size, len(b))
			}
		}
	}
	refused(t, nil, "it is empty")
	refused(t, bytes.Repeat([]byte("no archive"), 1000), "it is no tar archive")
}

// TestLargeManifest is of one that takes more memory than its reader has.
func TestLargeManifest(t *testing.T) {
	all := parts(t, export(t, save(t), Plain))
	manifest := &all[at(all, snapshot.ManifestName)]
	manifest.content = append(manifest.content, bytes.Repeat([]byte(" "), maxManifest)...)
	refused(t, join(t, all), `"manifest.json" has `)
}
