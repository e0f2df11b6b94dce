// Answers what the kubelet reads in a dockerconfigjson. Takes a document a line, as a JSON string in base64, and prints a
// line for each: `null` where the kubelet refuses the document, otherwise an object of registry → username, password, email.
// Built by test/cluster/kubelet-parser.ts with the module of each Kubernetes version.
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"

	"k8s.io/kubernetes/pkg/credentialprovider"
)

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<16)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return
		}
		must(err)
		var document []byte
		must(json.Unmarshal(line, &document))
		must(out.Encode(read(document)))
	}
}

// read parses the data of a Secret as pkg/credentialprovider/secrets does before every pull.
func read(document []byte) map[string][3]string {
	var config credentialprovider.DockerConfigJSON
	if json.Unmarshal(document, &config) != nil {
		return nil
	}
	entries := make(map[string][3]string)
	for registry, entry := range config.Auths {
		entries[registry] = [3]string{entry.Username, entry.Password, entry.Email}
	}
	return entries
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
