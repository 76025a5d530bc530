"""Programs that look for the user's files and secrets, other processes, the network, the kernel."""

from __future__ import annotations

from tests.sandbox.hostile_programs import LIBC, SHORT, one

SECRET = "the-secret-of-the-user"

FILES_AND_SECRETS = [
    one(
        "the home folder",
        # Where Python itself is installed in it, the way there can be seen, and nothing beside it.
        "import os, sys\nprint(os.path.isdir({home!r}) and [n for n in os.listdir({home!r})\n"
        "      if not os.path.realpath(sys.executable).startswith(os.path.join({home!r}, n))])",
        "ok",
        never=("['",),
    ),
    one("a file of the user", "print(open({secret!r}).read())", "runtime_error"),
    one(
        "a file of the user through a link",
        "import os\nos.symlink({secret!r}, 'link')\nprint(open('link').read())",
        "runtime_error",
    ),
    one(
        "a file of the user through dots",
        "print(open('../../../../../../..' + {secret!r}).read())",
        "runtime_error",
    ),
    one(
        "a file of the user in bash",
        "cat {secret}; cat {home}/.bashrc ~/.ssh/* /root/.ssh/* /home/*/.* 2>&1; true",
        "ok",
        language="bash",
    ),
    one(
        "a file of the user in node",
        "console.log(require('fs').readFileSync({secret!r}, 'utf8'))",
        "runtime_error",
        language="javascript",
    ),
    one(
        "a file of the user included in C",
        '#include "{secret}"\nint main() { return 0; }',
        "compile_error",
        language="c",
    ),
    one(
        "a file of the user assembled into a program",
        'asm(".data\\nx: .incbin \\"{secret}\\"");\nint main() { return 0; }',
        "compile_error",
        language="c",
    ),
    one(
        "a device included in C",
        '#include "/dev/urandom"\nint main() { return 0; }',
        "compile_error",
        language="c",
        slow=True,
    ),
    one(
        "every process's environment and memory map",
        "import glob\nfor kind in ('environ', 'maps', 'cmdline', 'cwd', 'root', 'fd/0'):\n"
        "    for path in glob.glob(f'/proc/*/{kind}'):\n"
        "        try:\n            print(path, open(path).read())\n"
        "        except OSError as error:\n            print(error)",
        "ok",
    ),
    one(
        "the environment",
        "import os\nprint(dict(os.environ), open('/proc/self/environ').read())",
        "ok",
    ),
    one(
        "the sandbox's own memory",
        "print(open('/proc/1/mem', 'rb').read(1))",
        "runtime_error",
    ),
    one(
        "the sandbox's own files",
        "import os\nprint(os.listdir('/proc/1/fd'), os.open('/proc/1/fd/0', os.O_RDWR))",
        "runtime_error",
    ),
    one(
        "the root of the sandbox's own process",
        "import os\nprint(os.listdir('/proc/1/root/../..'), os.listdir('/proc/1/cwd'))",
        "runtime_error",
    ),
    one(
        "everything that can be read",
        "import os\nfor folder, _, names in os.walk('/'):\n"
        "    if folder.startswith(('/usr', '/proc', '/packages', '/dev')) or 'lib' in folder:\n"
        "        continue\n"
        "    for name in names:\n        try:\n"
        "            print(folder, open(os.path.join(folder, name)).read(100))\n"
        "        except (OSError, ValueError):\n            pass",
        "ok",
        never=("root:x:0", "BEGIN OPENSSH"),
        limits={"time_s": 20.0},
    ),
    one(
        "what the tests expect",
        "import os\nfor folder, _, names in os.walk('/scratch'):\n    print(folder, names)",
        "ok",
        prints=("/scratch/work ['main.py']", "/scratch/tmp []"),
    ),
    one("an installed package", "import torch", "runtime_error", prints=()),
    one("r1lab itself", "import r1lab.secrets", "runtime_error"),
    one(
        "packages by their files",
        "import os\nfound = [f for f, d, n in os.walk('/') if 'torch' in d or 'r1lab' in d]\n"
        "print([f for f in found if f != '/sandbox'])",
        "ok",
        prints=("[]",),
        limits={"time_s": 20.0},
    ),
    one(
        "writing anywhere else",
        "import os\nfor folder in ('/', '/usr', '/usr/bin', '/etc', '/dev', '/proc', '/root',\n"
        "      '/packages', '/packages/numpy', '/proc/sys/kernel', '/usr/lib', {home!r}):\n"
        "    try:\n        open(folder + '/x', 'w').close(); print('written', folder)\n"
        "    except OSError:\n        pass",
        "ok",
        never=("written",),
    ),
    one(
        "writing to the kernel's settings",
        "for path in ('/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger',\n"
        "      '/proc/1/oom_score_adj', '/proc/sys/user/max_user_namespaces',\n"
        "      '/proc/self/uid_map'):\n"
        "    try:\n        open(path, 'wb', 0).write(b'1'); print('written', path)\n"
        "    except OSError:\n        pass",
        "ok",
        never=("written",),
    ),
    one(
        "the interpreter replaced",
        "import sys\nopen(sys.executable, 'ab').write(b'x')",
        "runtime_error",
    ),
    one(
        "its own source replaced, and marks left for the next run",
        "import os\nprint(sorted(os.listdir('.')), os.listdir('/tmp'))\n"
        "open('main.py', 'w').write('print(666)')\nopen('mark', 'w'); open('/tmp/mark', 'w')\n"
        "os.mkdir('locked'); os.mkdir('locked/in'); os.chmod('locked', 0)\n"
        "for folder in ('.', '../tmp', '..'):\n    try:\n        os.chmod(folder, 0)\n"
        "    except OSError:\n        pass",
        "ok",
        prints=("['main.py'] []",),
        never=("666",),
    ),
]

OTHER_PROCESSES = [
    one(
        "the parent killed",
        "import os\nfor n in range(1, 65):\n    try:\n        os.kill(os.getppid(), n)\n"
        "    except PermissionError:\n        pass\nprint('here')",
        "ok",
        prints=("here",),
    ),
    one(
        "everybody killed",
        "import os\ntry:\n    os.kill(-1, 9)\nexcept OSError:\n    pass\nprint('here')",
        "ok",
        prints=("here",),
    ),
    one(
        "every process id killed",
        "import os\nfor pid in range(1, 70000):\n    if pid != os.getpid():\n        try:\n"
        "            os.kill(pid, 9)\n        except OSError:\n            pass\nprint('here')",
        "ok",
        prints=("here",),
    ),
    one(
        "the parent traced",
        LIBC + "call('ptrace', 16, 1, 0, 0)\ncall('process_vm_readv', 1, 0, 0, 0, 0, 0)",
        "ok",
        prints=("ptrace EPERM", "process_vm_readv EPERM"),
    ),
    one(
        "processes of the machine",
        "import os\nprint([p for p in os.listdir('/proc') if p.isdigit() and int(p) > 20])",
        "ok",
        prints=("[]",),
    ),
    one(
        "a process with a name that is no text",
        "import ctypes, time\nctypes.CDLL(None).prctl(15, b'\\xff) R \\xfe', 0, 0, 0)\n"
        "time.sleep(0.1)\nprint('here')",
        "ok",
        prints=("here",),
    ),
    one(
        "typing into the terminal",
        "import fcntl, os\nfcntl.ioctl(os.open('/dev/tty', os.O_RDWR), 0x5412, b'x')",
        "runtime_error",
    ),
    one(
        "typing into a file that is no terminal",
        "import fcntl\nfcntl.ioctl(0, 0x5412, b'x')",
        "runtime_error",
        prints=("Operation not permitted",),
    ),
]

NETWORK = [
    one(
        "a server on this machine",
        "import socket\nsocket.create_connection(('127.0.0.1', {port}), 2).recv(99)",
        "runtime_error",
        prints=("not supported",),
    ),
    one(
        "a name on the Internet",
        "import urllib.request\nurllib.request.urlopen('http://pypi.org')",
        "runtime_error",
    ),
    one(
        "an abstract socket of the machine",
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0{abstract}')\n"
        "print(s.recv(99))",
        "runtime_error",
    ),
    one(
        "every other family of sockets",
        "import socket\nfor family in range(2, 46):\n    for kind in (1, 2, 3):\n        try:\n"
        "            socket.socket(family, kind); print('opened', family)\n"
        "        except OSError:\n            pass",
        "ok",
        never=("opened",),
    ),
    one("the network in bash", "cat < /dev/tcp/127.0.0.1/{port}", "runtime_error", language="bash"),
    one(
        "the network in node",
        "require('net').connect({port}, '127.0.0.1').on('data', d => console.log(String(d)))",
        "runtime_error",
        language="javascript",
    ),
]

KERNEL = [
    one(
        "mounts",
        LIBC + "call('mount', b'none', b'/tmp', b'tmpfs', 0, None)\n"
        "call('umount2', b'/proc', 2)\ncall('pivot_root', b'/tmp', b'/tmp')\n"
        "call('chroot', b'/tmp')",
        "ok",
        prints=("mount EPERM", "umount2 EPERM", "pivot_root EPERM", "chroot EPERM"),
    ),
    one(
        "namespaces",
        LIBC + "call('unshare', 0x10000000)\ncall('setns', 0, 0)\n"
        "call('syscall', 56, 0x10000000 | 17, 0, 0, 0, 0)",
        "ok",
        prints=("unshare EPERM", "setns EPERM"),
        never=("let through",),
        machine="x86_64",
    ),
    one("namespaces by a command", "unshare -Ur id", "runtime_error", language="bash"),
    one(
        "another user",
        "import os\nfor name in ('setuid', 'setgid', 'seteuid'):\n    try:\n"
        "        getattr(os, name)(0); print('became root')\n    except OSError:\n        pass",
        "ok",
        never=("became",),
    ),
    one(
        "a set-user-id program",
        "su -c id; passwd -S; mount -t tmpfs x /tmp && echo mounted; id -u",
        "ok",
        language="bash",
        never=("uid=0", "mounted"),
    ),
    one("a set-user-id file of its own", "import os\nos.chown('main.py', 0, 0)", "runtime_error"),
    one(
        "device nodes",
        "import os, stat\nos.mknod('/tmp/sda', 0o600 | stat.S_IFBLK, os.makedev(8, 0))",
        "runtime_error",
    ),
    one(
        "old holes in the kernel",
        LIBC + "for number in (321, 298, 323, 425, 250, 248, 319, 304, 155, 169, 175):\n"
        "    call('syscall', number, 0, 0, 0, 0, 0)",
        "ok",
        prints=("syscall EPERM\n" * 3 + "syscall ENOSYS",),
        never=("let through",),
        machine="x86_64",
    ),
    one(
        "system calls newer than the filter",
        LIBC + "for number in range(463, 480):\n    call('syscall', number, -1, 0, 0, 0, 0)",
        "ok",
        prints=("syscall ENOSYS\n" * 17,),
    ),
    one(
        "the 32-bit system calls, which have other numbers",
        '#include <stdio.h>\nint main() { int code; puts("before"); fflush(stdout);\n'
        'asm volatile("int $0x80" : "=a"(code) : "a"(20)); puts("after"); return 0; }',
        "runtime_error",
        language="c",
        prints=("before",),
        never=("after",),
        machine="x86_64",
    ),
    one("the clock", "import time\ntime.clock_settime(time.CLOCK_REALTIME, 0)", "runtime_error"),
    one("the machine's name", "import socket\nsocket.sethostname('x')", "runtime_error"),
    one(
        "a filter taken off",
        LIBC + "call('prctl', 22, 0, 0, 0, 0)\ncall('prctl', 38, 0, 0, 0, 0)",
        "ok",
        prints=("prctl EINVAL",),
        never=("let through",),
    ),
    one(
        "a compiler kept busy",
        "template<int n> struct X { typedef typename X<n + 1>::type type; };\n"
        "#define A(x) x x x x x x x x x x\nX<0>::type y; int main() { A(A(A(A(A(A(A(;)))))))}",
        "compile_error",
        language="cpp",
        slow=True,
        limits=SHORT,
    ),
    one(
        "a compiler out of memory",
        "int x[1 << 29] = {1}; int y[1 << 29] = {1}; int main() {}",
        "compile_error",
        language="c",
        slow=True,
    ),
]
