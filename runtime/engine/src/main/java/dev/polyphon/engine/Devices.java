package dev.polyphon.engine;

import dev.polyphon.engine.backend.DeviceMemoryException;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.backend.cuda.CudaException;
import dev.polyphon.engine.backend.cuda.CudaKernels;
import dev.polyphon.engine.backend.cuda.Precision;
import java.io.IOException;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Chooses what engines compute on. One engine has one device; several GPUs have an engine each. */
public final class Devices {
    private static final Logger LOG = LoggerFactory.getLogger(Devices.class);
    private static final Pattern CUDA = Pattern.compile("cuda(?::(\\d{1,4}))?(?::(f32|bf16))?");

    private static final Pattern ALL = Pattern.compile("cuda:all(:f32|:bf16)?");

    private Devices() {}

    /**
     * The devices that are meant.
     *
     * @param devices one as {@link #open} takes it, several with commas between them, or {@code cuda:all} for every GPU there is, with {@code :f32} or
     *     {@code :bf16} behind it or not
     * @throws IOException when all GPUs are meant and none is found; the message says why
     */
    public static List<String> each(String devices) throws IOException {
        Matcher all = ALL.matcher(devices);
        if (all.matches()) {
            try {
                String precision = all.group(1) == null ? "" : all.group(1);
                return IntStream.range(0, CudaKernels.count()).mapToObj(i -> "cuda:" + i + precision).toList();
            } catch (CudaException e) {
                throw new IOException("no GPU is found: " + e.getMessage(), e);
            }
        }
        List<String> each = List.of(devices.split(",", -1));
        if (each.size() > 1) {
            Set<String> known = new HashSet<>();
            for (String device : each) {
                if (!device.matches("cuda:\\d{1,4}(:f32|:bf16)?")) {
                    throw new IllegalArgumentException("of several devices each is cuda:N (and :f32 or :bf16), found " + (device.isEmpty() ? "nothing" : device) + " in " + devices);
                }
                if (!known.add(device.split(":")[1])) {
                    throw new IllegalArgumentException("device " + device + " is there twice in " + devices);
                }
            }
        }
        return each;
    }

    /**
     * Opens a device.
     *
     * @param device {@code cpu}; {@code cpu:vector} for the CPU without machine code written at run time; {@code cuda} or {@code cuda:N} for an NVIDIA
     *     GPU, with {@code :f32} behind it for products in f32; {@code auto} for the first GPU when one opens and the CPU otherwise
     * @param threads computing threads of the CPU; 0 for one per processor
     * @throws IOException when the GPU that was named does not open; the message says why
     */
    public static Kernels open(String device, int threads) throws IOException {
        if (CUDA.matcher(device).matches()) {
            return cuda(device, 0);
        }
        if (device.equals("auto")) {
            try {
                return CudaKernels.open(0, 0, Precision.BF16);
            } catch (CudaException | DeviceMemoryException e) {
                LOG.info("computing on the CPU, since no GPU opens");
                LOG.debug("no GPU: {}", e.getMessage());
            }
        } else if (!device.equals("cpu") && !device.equals("cpu:vector")) {
            throw new IllegalArgumentException("device must be auto, cpu, cpu:vector, cuda or cuda:N (and :f32 or :bf16), found " + device);
        }
        return CpuKernels.open(threads > 0 ? threads : Runtime.getRuntime().availableProcessors(), !device.equals("cpu:vector"));
    }

    /**
     * Opens an NVIDIA GPU.
     *
     * @param device as above
     * @param memory bytes of its memory to take; 0 for nine tenths of what is free
     * @throws IOException when it does not open; the message says why
     */
    public static Kernels cuda(String device, long memory) throws IOException {
        Matcher cuda = CUDA.matcher(device);
        if (!cuda.matches()) {
            throw new IllegalArgumentException("a GPU is cuda or cuda:N (and :f32 or :bf16), found " + device);
        }
        try {
            return CudaKernels.open(cuda.group(1) == null ? 0 : Integer.parseInt(cuda.group(1)), memory, "f32".equals(cuda.group(2)) ? Precision.F32 : Precision.BF16);
        } catch (CudaException | DeviceMemoryException e) {
            throw new IOException("device " + device + " does not open: " + e.getMessage(), e);
        }
    }
}
