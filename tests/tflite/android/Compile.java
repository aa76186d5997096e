import java.nio.file.Files;
import java.nio.file.Path;
import org.jetbrains.kotlin.cli.common.ExitCode;
import org.jetbrains.kotlin.cli.jvm.K2JVMCompiler;

/** Compiles with Kotlin as many times as files of arguments are given: the compiler warms up once. */
class Compile {
    public static void main(String[] files) throws Exception {
        for (String file : files) {
            String[] arguments = Files.readAllLines(Path.of(file)).toArray(new String[0]);
            ExitCode code = new K2JVMCompiler().exec(System.err, arguments);
            if (code != ExitCode.OK) System.exit(code.getCode());
        }
    }
}
