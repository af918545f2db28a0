package snapshot

import (
	"fmt"
	"strings"
)

// File is one of those that a snapshot is made of.
type File struct {
	Name string
	// Sum is the file's SHA-256, 64 digits, as SHA256SUMS has it. Empty: it is a
	// large file, which has sums of its own in a file called Name and ".sums".
	Sum string
}

// Names of files that come first wherever a snapshot is passed on.
const (
	SumsName     = sumsName
	ManifestName = manifestName
	SumsSuffix   = sumsSuffix
)

// Listed returns the files that a snapshot with these SHA256SUMS is made of beside
// it: the manifest, other small files, and then large ones. What else is in its
// directory is whose the directory is. It fails with *CorruptError.
func Listed(sums []byte) (files []File, err error) {
	wrong := func(line string) error {
		return &CorruptError{sumsName, fmt.Sprintf("it has the line %.100q", line)}
	}
	if len(sums) > maxSums {
		return nil, &CorruptError{sumsName, fmt.Sprintf("it has more than %d bytes", maxSums)}
	}
	seen := map[string]bool{sumsName: true, verifiedName: true} // which aren't listed
	var large []File
	for _, line := range strings.SplitAfter(string(sums), "\n") {
		if line == "" {
			continue
		}
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok || len(sum) != 64 || !isName(name) || len(seen) > 2*maxFiles || seen[name] || strings.HasSuffix(name, "."+verifiedName) {
			return nil, wrong(line)
		}
		seen[name] = true
		files = append(files, File{name, sum})
		if big, ok := strings.CutSuffix(name, sumsSuffix); ok {
			if !isName(big) || seen[big] {
				return nil, wrong(line)
			}
			seen[big] = true
			large = append(large, File{Name: big})
		}
		if last := len(files) - 1; name == manifestName {
			files[0], files[last] = files[last], files[0]
		}
	}
	if len(files) == 0 || files[0].Name != manifestName {
		return nil, &CorruptError{sumsName, "it doesn't have " + manifestName}
	}
	return append(files, large...), nil
}

// MaxSmall returns how many bytes a small file may have.
func MaxSmall(name string) int64 {
	switch name {
	case sumsName:
		return maxSums
	case manifestName:
		return maxManifest
	}
	return maxState
}

// MaxLarge returns how many bytes a large file may have whose sums have so many.
func MaxLarge(sums int64) int64 { return sums / 4 * chunkSize }
